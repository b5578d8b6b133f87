//go:build linux

package usage

import (
	"bytes"
	"fmt"
	"strconv"

	"midge/api"
)

const noPressure = "the kernel keeps no pressure of control groups (CONFIG_PSI, psi=1)"

var pressureSources = []source{
	{file: "cpu.pressure", field: "cpuStat.pressure", absent: noPressure, parse: func(data []byte, sample *api.Sample) (err error) {
		cpuOf(sample).Pressure, err = parsePressure(data)
		return err
	}},
	{file: "memory.pressure", field: "memoryStat.pressure", absent: noPressure, parse: func(data []byte, sample *api.Sample) (err error) {
		memoryOf(sample).Pressure, err = parsePressure(data)
		return err
	}},
	{file: "io.pressure", field: "ioStat.pressure", absent: noPressure, parse: func(data []byte, sample *api.Sample) (err error) {
		ioOf(sample).Pressure, err = parsePressure(data)
		return err
	}},
}

// parsePressure reads a pressure file, of a control group or of the machine:
// Documentation/accounting/psi.rst, "Pressure interface". Kernels before 5.13 have
// no full line for cpu.
func parsePressure(data []byte) (*api.Pressure, error) {
	pressure := new(api.Pressure)
	err := lines(data, func(key, rest []byte) error {
		values := new(api.PressureValues)
		switch string(key) {
		case "some":
			pressure.Some = values
		case "full":
			pressure.Full = values
		default:
			return nil
		}
		return parsePressureValues(rest, values)
	})
	if err != nil {
		return nil, err
	}
	return pressure, nil
}

func parsePressureValues(text []byte, values *api.PressureValues) error {
	for field := range bytes.FieldsSeq(text) {
		key, number, ok := bytes.Cut(field, []byte("="))
		if !ok {
			return errFields
		}
		var err error
		switch string(key) {
		case "avg10":
			values.Avg10, err = parsePercent(number)
		case "avg60":
			values.Avg60, err = parsePercent(number)
		case "avg300":
			values.Avg300, err = parsePercent(number)
		case "total":
			values.Total, err = parseSingle(number)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func parsePercent(text []byte) (*float64, error) {
	value, err := strconv.ParseFloat(string(text), 64)
	if err != nil {
		return nil, err
	}
	if !(value >= 0 && value <= 100) {
		return nil, fmt.Errorf("%v is no percentage", value)
	}
	return &value, nil
}
