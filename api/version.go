package api

// Version is midge's own version; a release build sets it.
var Version = "dev"

// ConcourseVersion is the newest version of Concourse that this midge stands for: its
// fly works with the server, and the CLI under that name says that it is that fly.
const ConcourseVersion = "8.2.0"
