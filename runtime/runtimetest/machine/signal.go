package machine

import (
	"fmt"
	"strconv"
	"strings"
)

// signalNumbers are linux's.
var signalNumbers = map[string]int{
	"HUP": 1, "INT": 2, "QUIT": 3, "ILL": 4, "TRAP": 5, "ABRT": 6, "BUS": 7, "FPE": 8, "KILL": 9,
	"USR1": 10, "SEGV": 11, "USR2": 12, "PIPE": 13, "ALRM": 14, "TERM": 15, "CHLD": 17, "CONT": 18,
	"STOP": 19, "TSTP": 20, "TTIN": 21, "TTOU": 22, "URG": 23, "WINCH": 28,
}

// signalName gives the name, without SIG, of a signal given by name or number.
func signalName(signal string) (string, bool) {
	if number, err := strconv.Atoi(signal); err == nil {
		for name, n := range signalNumbers {
			if n == number {
				return name, true
			}
		}
		return "", false
	}
	name := strings.TrimPrefix(strings.ToUpper(signal), "SIG")
	_, ok := signalNumbers[name]
	return name, ok
}

// harmless are the signals that do nothing to who does not handle them. Programs
// here are not stopped and continued.
var harmless = map[string]bool{
	"CHLD": true, "CONT": true, "STOP": true, "TSTP": true, "TTIN": true, "TTOU": true, "URG": true, "WINCH": true,
}

// killed is why the context of a killed program ended.
type killed struct{ signal string }

func (k *killed) Error() string { return fmt.Sprintf("killed by SIG%s", k.signal) }

// IsSignal tells whether there is a signal of that name, without SIG.
func IsSignal(name string) bool {
	_, ok := signalNumbers[name]
	return ok
}
