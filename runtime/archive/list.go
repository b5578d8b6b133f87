package archive

import (
	"errors"
	"io/fs"
	"path"

	"midge/api"
	"midge/runtime"
)

// Stat describes what lies at name in a tree, or what the link there leads to. A name
// that is not there, or that leads out of the tree, is a *runtime.NotFoundError.
func Stat(tree Tree, name string) (api.File, error) {
	info, err := tree.Stat(name)
	if err != nil {
		return api.File{}, &runtime.NotFoundError{Kind: "path", Name: name}
	}
	return Describe(info), nil
}

// List describes what the directory at name in a tree has, in the order of names, or
// what else lies there, alone. What vanishes meanwhile is left out. A name that is not there, or that
// leads out of the tree, is a *runtime.NotFoundError.
func List(tree Tree, name string) ([]api.File, error) {
	info, err := tree.Stat(name)
	if err != nil {
		return nil, &runtime.NotFoundError{Kind: "path", Name: name}
	}
	if !info.IsDir() {
		return []api.File{Describe(info)}, nil
	}
	entries, err := tree.ReadDir(name)
	if err != nil {
		return nil, err
	}
	files := make([]api.File, 0, len(entries))
	for _, entry := range entries {
		file, err := describeEntry(tree, path.Join(name, entry.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	return files, nil
}

func describeEntry(tree Tree, name string) (api.File, error) {
	info, err := tree.Lstat(name)
	if err != nil {
		return api.File{}, err
	}
	file := Describe(info)
	if file.Type == api.FileSymlink {
		file.Target, err = tree.Readlink(name)
	}
	return file, err
}

// Describe says of a file what api.File does, but for a link's target.
func Describe(info fs.FileInfo) api.File {
	file := api.File{Name: info.Name(), Mode: uint32(permissions(info.Mode())), Modified: info.ModTime().UTC()}
	file.UID, file.GID = owner(info)
	switch info.Mode().Type() {
	case 0:
		file.Type, file.Size = api.FileRegular, info.Size()
	case fs.ModeDir:
		file.Type = api.FileDirectory
	case fs.ModeSymlink:
		file.Type = api.FileSymlink
	default:
		file.Type = api.FileOther
	}
	return file
}
