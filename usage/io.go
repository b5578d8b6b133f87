//go:build linux

package usage

import (
	"bytes"
	"errors"
	"fmt"
	"syscall"

	"midge/api"
)

const (
	noIOController = "the io controller is not on for this control group"
	noV1Operations = "cgroup v1 does not count them unless the device is throttled"
)

var unifiedIO = []source{
	{file: "io.stat", field: "ioStat", absent: noIOController, parse: parseIOStat},
}

var v1IO = []source{
	{file: "blkio.throttle.io_service_bytes_recursive", atEnd: true, field: "ioStat", absent: noIOController, parse: parseV1IOBytes},
	{file: "blkio.throttle.io_serviced_recursive", atEnd: true, field: "ioStat", absent: noIOController, parse: parseV1IOOperations},
}

func ioOf(sample *api.Sample) *api.IOStat {
	if sample.IOStat == nil {
		sample.IOStat = new(api.IOStat)
	}
	return sample.IOStat
}

// parseIOStat reads io.stat of v2, a line a device, and sums them up:
// Documentation/admin-guide/cgroup-v2.rst, "IO Interface Files". The file of a
// group that has done none is empty, which is 0 and not unknown.
func parseIOStat(data []byte, sample *api.Sample) error {
	stat := ioOf(sample)
	counters := map[string]**uint64{
		"rbytes": &stat.ReadBytes, "wbytes": &stat.WriteBytes, "dbytes": &stat.DiscardBytes,
		"rios": &stat.ReadIOs, "wios": &stat.WriteIOs, "dios": &stat.DiscardIOs,
	}
	for _, counter := range counters {
		add(counter, 0)
	}
	return lines(data, func(_, rest []byte) error {
		for field := range bytes.FieldsSeq(rest) {
			key, text, ok := bytes.Cut(field, []byte("="))
			if !ok {
				return errFields
			}
			counter := counters[string(key)]
			if counter == nil {
				continue
			}
			value, err := parseNumber(text)
			if err != nil {
				return err
			}
			add(counter, value)
		}
		return nil
	})
}

// parseV1IOBytes reads blkio.throttle.io_service_bytes_recursive of v1:
// Documentation/admin-guide/cgroup-v1/blkio-controller.rst, "Throttling/Upper limit
// policy files". Without a line for a device nothing was counted, which is no 0:
// newer kernels count only devices that have a throttle.
func parseV1IOBytes(data []byte, sample *api.Sample) error {
	stat := ioOf(sample)
	return parseV1IO(data, &stat.ReadBytes, &stat.WriteBytes, &stat.DiscardBytes)
}

// parseV1IOOperations reads blkio.throttle.io_serviced_recursive, of the same form.
func parseV1IOOperations(data []byte, sample *api.Sample) error {
	stat := ioOf(sample)
	return parseV1IO(data, &stat.ReadIOs, &stat.WriteIOs, &stat.DiscardIOs)
}

func parseV1IO(data []byte, read, write, discard **uint64) error {
	return lines(data, func(device, rest []byte) error {
		if string(device) == "Total" {
			return nil
		}
		operation, text, _ := bytes.Cut(rest, []byte(" "))
		value, err := parseNumber(text)
		if err != nil {
			return err
		}
		switch string(operation) {
		case "Read":
			add(read, value)
		case "Write":
			add(write, value)
		case "Discard":
			add(discard, value)
		}
		return nil
	})
}

// processIO sums up what the processes of a v1 group say of themselves, for v1
// counts neither what goes through the page cache to the disk
// (Documentation/admin-guide/cgroup-v1/blkio-controller.rst) nor, on newer kernels,
// a device without a throttle. A process that has ended is counted in whoever waited
// for it; of one that nobody waited for, what was seen while it ran stays.
type processIO struct {
	processes *file  // cgroup.procs
	proc      string // /proc
	read      uint64
	written   uint64
}

// maxProcesses bounds what one sample may cost; what the processes beyond it did
// is seen when they end.
const maxProcesses = 256

func (p *processIO) sample(sample *api.Sample) error {
	data, err := p.processes.read()
	if err != nil {
		return fmt.Errorf("read %s: %w", p.processes.Name(), err)
	}
	var read, written uint64
	n := 0
	for line := range bytes.Lines(data) {
		if n++; n > maxProcesses {
			break
		}
		r, w, err := p.process(string(bytes.TrimSpace(line)))
		if err != nil {
			return err
		}
		read, written = read+r, written+w
	}
	p.read, p.written = max(p.read, read), max(p.written, written)
	stat := ioOf(sample)
	raise(&stat.ReadBytes, p.read)
	raise(&stat.WriteBytes, p.written)
	return nil
}

// process gives what one process read and wrote, nothing of one that has ended.
func (p *processIO) process(pid string) (read, written uint64, err error) {
	path := p.proc + "/" + pid + "/io"
	descriptor, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return 0, 0, ignoreGone(err)
	}
	defer syscall.Close(descriptor)
	var data [512]byte // It has seven lines of a short name and a number.
	n, err := syscall.Pread(descriptor, data[:], 0)
	if err != nil {
		return 0, 0, ignoreGone(err)
	}
	read, written, err = parseProcessIO(data[:n])
	if err != nil {
		return 0, 0, fmt.Errorf("parse %s: %w", path, err)
	}
	return read, written, nil
}

// raise makes a counter at least value.
func raise(counter **uint64, value uint64) {
	if *counter == nil || **counter < value {
		*counter = &value
	}
}

// parseProcessIO reads /proc/PID/io: Documentation/filesystems/proc.rst,
// "/proc/<pid>/io". It gives the bytes that came from and went to storage.
func parseProcessIO(data []byte) (read, written uint64, err error) {
	var r, w *uint64
	err = flatKeyed(data, func(key []byte) **uint64 {
		switch string(key) {
		case "read_bytes:":
			return &r
		case "write_bytes:":
			return &w
		}
		return nil
	})
	if err != nil {
		return 0, 0, err
	}
	if r == nil || w == nil {
		return 0, 0, errors.New("no read_bytes or write_bytes in it")
	}
	return *r, *w, nil
}
