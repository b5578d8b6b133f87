package api

// OverrideParams gives params with the value of each replaced by that of the
// environment variable of its name, where there is one, even an empty one.
// Lookup is os.LookupEnv. The map it is given stays as it is.
func OverrideParams(params map[string]string, lookup func(name string) (string, bool)) map[string]string {
	if params == nil {
		return nil
	}
	overridden := make(map[string]string, len(params))
	for name, value := range params {
		if fromEnvironment, ok := lookup(name); ok {
			value = fromEnvironment
		}
		overridden[name] = value
	}
	return overridden
}
