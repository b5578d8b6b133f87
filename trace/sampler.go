package trace

import (
	"cmp"
	"fmt"
	"os"
	"strconv"

	sdk "go.opentelemetry.io/otel/sdk/trace"
)

// everything records what another sampler would drop, without marking it as sampled:
// it is kept here and not exported.
type everything struct{ sdk.Sampler }

func (e everything) ShouldSample(parameters sdk.SamplingParameters) sdk.SamplingResult {
	result := e.Sampler.ShouldSample(parameters)
	if result.Decision == sdk.Drop {
		result.Decision = sdk.RecordOnly
	}
	return result
}

// samplerFromEnvironment gives what OTEL_TRACES_SAMPLER asks for:
// https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/.
func samplerFromEnvironment() (sdk.Sampler, error) {
	name := cmp.Or(os.Getenv("OTEL_TRACES_SAMPLER"), "parentbased_always_on")
	ratio := 1.0
	if text := os.Getenv("OTEL_TRACES_SAMPLER_ARG"); text != "" {
		var err error
		if ratio, err = strconv.ParseFloat(text, 64); err != nil || !(ratio >= 0 && ratio <= 1) {
			return nil, fmt.Errorf("OTEL_TRACES_SAMPLER_ARG is %q: it is to be a number from 0 to 1", text)
		}
	}
	switch name {
	case "always_on":
		return sdk.AlwaysSample(), nil
	case "always_off":
		return sdk.NeverSample(), nil
	case "traceidratio":
		return sdk.TraceIDRatioBased(ratio), nil
	case "parentbased_always_on":
		return sdk.ParentBased(sdk.AlwaysSample()), nil
	case "parentbased_always_off":
		return sdk.ParentBased(sdk.NeverSample()), nil
	case "parentbased_traceidratio":
		return sdk.ParentBased(sdk.TraceIDRatioBased(ratio)), nil
	}
	return nil, fmt.Errorf("OTEL_TRACES_SAMPLER is %q, which is none of always_on, always_off, traceidratio and those with parentbased_ before them", name)
}
