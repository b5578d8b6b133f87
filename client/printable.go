package client

func printable(s string) string { return s }
