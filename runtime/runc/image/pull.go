package image

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"golang.org/x/sync/errgroup"

	"midge/trace"
)

// Progress tells how far the fetching of an image has come.
type Progress struct {
	Layers, LayersDone int
	Bytes, BytesDone   int64 // compressed
}

// attempts is how often a registry is asked for a thing before its failure is the answer.
const attempts = 3

// Pull gives the image that a source names, fetched as far as the store lacks it.
// The registry is asked in any case, with one HEAD when nothing has changed, so
// that nobody gets an image whose credentials he does not have. progress, which
// may be nil, is called from several goroutines while layers arrive.
func (s *Store) Pull(ctx context.Context, source Source, progress func(Progress)) (pulled *Image, err error) {
	ctx, span := trace.StartSpan(ctx, "fetch image", trace.ImageName(source.String()))
	defer func() {
		if err == nil {
			span.Set(trace.ImageDigest(pulled.Digest))
		}
		span.End(err)
	}()

	client, err := s.transport(source)
	if err != nil {
		return nil, err
	}
	defer client.CloseIdleConnections()
	if reference, err := source.reference(""); err != nil {
		return nil, err
	} else if source.Mirror.Host != "" && reference.Context().RegistryStr() == name.DefaultRegistry {
		mirrored, err := source.reference(source.Mirror.Host)
		if err != nil {
			return nil, err
		}
		image, err := s.pull(ctx, source, mirrored, client, source.Mirror.keychain(), progress)
		if err == nil || ctx.Err() != nil {
			return image, err
		}
	}
	reference, err := source.reference("")
	if err != nil {
		return nil, err
	}
	image, err := s.pull(ctx, source, reference, client, source.keychain(), progress)
	if err != nil {
		return nil, fmt.Errorf("pull image %s: %w", source, explain(source, err))
	}
	return image, nil
}

func (s *Store) pull(ctx context.Context, source Source, reference name.Reference, client http.RoundTripper,
	keychain authn.Keychain, progress func(Progress)) (*Image, error) {
	options := []remote.Option{
		remote.WithContext(ctx), remote.WithTransport(client), remote.WithAuthFromKeychain(keychain),
		remote.WithPlatform(source.Platform),
		remote.WithRetryBackoff(remote.Backoff{Duration: 200 * time.Millisecond, Factor: 3, Steps: attempts}),
	}
	head, err := remote.Head(reference, options...)
	if err != nil {
		return nil, err
	}
	choice := recordName(head.Digest.String(), source.Platform.String())
	choice = strings.ReplaceAll(choice, "/", "-")
	if image, err := s.take(choice); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return image, err
	}
	descriptor, err := remote.Get(reference.Context().Digest(head.Digest.String()), options...)
	if err != nil {
		return nil, err
	}
	if descriptor.MediaType.IsIndex() {
		if err := hasPlatform(descriptor, source); err != nil {
			return nil, err
		}
	}
	image, err := descriptor.Image()
	if err != nil {
		return nil, err
	}
	if err := isPlatform(image, source); err != nil {
		return nil, err
	}
	return s.add(ctx, image, progress, choice)
}

// add puts an image into the store under its digest and the names given.
func (s *Store) add(ctx context.Context, image v1.Image, progress func(Progress), names ...string) (*Image, error) {
	// Until the record is there nothing else keeps the layers from being collected.
	unlock, err := s.lock(ctx, "add "+names[0])
	if err != nil {
		return nil, err
	}
	defer unlock()
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	digest, err := image.Digest()
	if err != nil {
		return nil, err
	}
	layers, err := image.Layers()
	if err != nil {
		return nil, err
	}
	if len(layers) != len(config.RootFS.DiffIDs) {
		return nil, fmt.Errorf("the image has %d layers, and digests of %d", len(layers), len(config.RootFS.DiffIDs))
	}
	if err := s.fetch(ctx, layers, config.RootFS.DiffIDs, progress); err != nil {
		return nil, err
	}
	r := record{Digest: digest.String(), Config: configOf(config)}
	for _, diffID := range config.RootFS.DiffIDs {
		r.Layers = append(r.Layers, layerName(diffID))
	}
	if r.Layers, err = s.stack(uppermost(r.Layers)); err != nil {
		return nil, err
	}
	return s.keep(r, append([]string{recordName(r.Digest)}, names...)...)
}

// uppermost gives the layers without those that are there again further up, where
// they hide themselves: overlayfs takes none twice.
func uppermost(layers []string) []string {
	var once []string
	for i, layer := range layers {
		if !slices.Contains(layers[i+1:], layer) {
			once = append(once, layer)
		}
	}
	return once
}

// fetch unpacks the layers, several at once.
func (s *Store) fetch(ctx context.Context, layers []v1.Layer, diffIDs []v1.Hash, progress func(Progress)) error {
	var done, bytes atomic.Int64
	total := Progress{Layers: len(layers)}
	for _, layer := range layers {
		size, err := layer.Size()
		if err != nil {
			return err
		}
		total.Bytes += size
	}
	report := func() {
		if progress != nil {
			now := total
			now.LayersDone, now.BytesDone = int(done.Load()), bytes.Load()
			progress(now)
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(s.options.Parallel)
	for i, layer := range layers {
		group.Go(func() (err error) {
			size, _ := layer.Size()
			ctx, span := trace.StartSpan(ctx, "fetch layer", trace.Digest(diffIDs[i].String()), trace.Bytes(size))
			defer func() { span.End(err) }()
			var arrived int64
			err = s.retry(ctx, func(ctx context.Context) error {
				bytes.Add(-arrived)
				arrived = 0
				return s.unpack(ctx, diffIDs[i], func(context.Context) (io.ReadCloser, error) {
					stream, err := layer.Compressed()
					if err != nil {
						return nil, err
					}
					return &watched{stream, func(n int) { arrived += int64(n); bytes.Add(int64(n)); report() }}, nil
				})
			})
			if err != nil {
				return fmt.Errorf("layer %d of %d: %w", i+1, len(layers), err)
			}
			bytes.Add(size - arrived) // the store may have had it
			done.Add(1)
			report()
			return nil
		})
	}
	return group.Wait()
}

// watched calls read with the size of each piece.
type watched struct {
	io.ReadCloser
	read func(n int)
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.ReadCloser.Read(p)
	if n > 0 {
		w.read(n)
	}
	return n, err
}

// retry tries again what a broken or stalled connection made fail.
func (s *Store) retry(ctx context.Context, do func(context.Context) error) error {
	for attempt := 1; ; attempt++ {
		err := do(ctx)
		if err == nil || ctx.Err() != nil || attempt == attempts || !passing(err) {
			return err
		}
		select {
		case <-time.After(time.Duration(attempt) * 500 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// passing reports whether an error may be gone the next time.
func passing(err error) bool {
	var (
		network net.Error
		status  *transport.Error
	)
	switch {
	case errors.As(err, &status):
		return status.StatusCode >= 500 || status.StatusCode == http.StatusTooManyRequests
	case errors.As(err, &network), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, errStalled):
		return true
	}
	return false
}

// transport is what a registry is asked through. It is the source's own, for its
// certificates, and lives as long as the pull.
func (s *Store) transport(source Source) (*stallTransport, error) {
	base := remote.DefaultTransport.(*http.Transport).Clone()
	base.ResponseHeaderTimeout = s.options.StallTimeout
	base.TLSHandshakeTimeout = min(10*time.Second, s.options.StallTimeout)
	base.TLSClientConfig = &tls.Config{InsecureSkipVerify: source.Insecure}
	if len(source.CACerts) > 0 {
		pool, err := x509.SystemCertPool()
		if err != nil {
			return nil, fmt.Errorf("read the system's certificates: %w", err)
		}
		for _, certificate := range source.CACerts {
			if !pool.AppendCertsFromPEM([]byte(certificate)) {
				return nil, &SourceError{"source.ca_certs has something that is no certificate in PEM"}
			}
		}
		base.TLSClientConfig.RootCAs = pool
	}
	return &stallTransport{Transport: base, timeout: s.options.StallTimeout}, nil
}
