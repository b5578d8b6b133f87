package machine

import "io/fs"

// NewImage makes a tree with the commands of the machine in /bin, an /etc and a
// /tmp: what a small image of a registry has.
func (s *Store) NewImage() *Tree {
	image := s.NewTree()
	for _, dir := range []string{"bin", "etc", "root", "tmp", "usr/bin", "home/user"} {
		image.must(image.MkdirAll(dir))
	}
	image.must(image.Chmod("tmp", fs.ModeSticky|0o777))
	for name := range commands {
		image.must(image.WriteFile("bin/"+name, []byte(commandMark+name+"\n"), 0o755))
	}
	image.must(image.Symlink("../../bin/env", "usr/bin/env"))
	image.must(image.WriteFile("etc/passwd", []byte(
		"root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/home/user:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"), 0o644))
	return image
}

// must panics on what cannot fail in a tree that nobody else knows.
func (t *Tree) must(err error) {
	if err != nil {
		panic(err)
	}
}

// MakeDevices makes /dev in a file system, and what there is of /proc: that the
// machine has no network but loopback.
func (f *FileSystem) MakeDevices() error {
	if err := f.MkdirAll("/proc/net"); err != nil {
		return err
	}
	if err := f.WriteFile("/proc/net/dev", []byte("Inter-| Receive | Transmit\n    lo: 0 0 0 0\n"), 0o444); err != nil {
		return err
	}
	if err := f.MkdirAll("/dev"); err != nil {
		return err
	}
	for _, name := range []string{"null", "zero", "full", "tty"} {
		if _, err := f.Lstat("/dev/" + name); err == nil {
			continue
		}
		if err := f.device("/dev/" + name); err != nil {
			return err
		}
	}
	return nil
}
