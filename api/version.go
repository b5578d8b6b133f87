package api

// Version is midge's own version; a release build sets it.
var Version = "dev"
