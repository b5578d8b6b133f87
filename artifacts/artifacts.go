// Package artifacts is the format in which trees of files are named, cut, packed
// and compared: what docs/artifacts.md describes, in code.
//
// A tree is made of objects, each named by the SHA-256 of its bytes. A directory
// is a tree object; it names what lies in it, so that the digest of the top
// directory's object stands for the whole. Files up to MaxContent bytes are one
// content object each; larger ones are cut by content into chunks, which a list
// object names in order. Objects travel and are stored in packs of zstd frames.
//
// The package promises that the same tree has the same digest on every machine,
// and that nothing it decodes has names or links that a directory could not hold.
// It does no input or output but through readers and writers it is given: walking
// a directory is artifacts/scan's work, moving objects artifacts/transfer's, and
// keeping them artifacts/store's.
package artifacts
