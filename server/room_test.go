package server

import (
	"testing"
	"time"
)

func TestGlance(t *testing.T) {
	tests := []struct {
		room float64
		want time.Duration
	}{
		{0, 50 * time.Millisecond},
		{1 << 20, 50 * time.Millisecond},
		{1 << 29, 500 * time.Millisecond},
		{3 << 30, 3 * time.Second},
		{1 << 50, 5 * time.Second},
	}
	for _, test := range tests {
		if got := glance(test.room); got != test.want {
			t.Errorf("with %.0f bytes to go it is looked at after %v, want %v", test.room, got, test.want)
		}
	}
}

func TestStopFloor(t *testing.T) {
	tests := []struct {
		stop, min uint64
		want      float64
	}{{64, 256, 64}, {300, 256, 256}, {64, 0, 0}, {0, 256, 0}}
	for _, test := range tests {
		if got := (Config{StopFreeSpace: test.stop, MinFreeSpace: test.min}).stopFloor(); got != test.want {
			t.Errorf("with %d and %d it is %.0f, want %.0f", test.stop, test.min, got, test.want)
		}
	}
}
