package main

import (
	"testing"
	"time"

	"midge/client"
)

func TestFilterOfPage(t *testing.T) {
	tests := []struct {
		page string
		want client.ContainerFilter
		bad  bool
	}{
		{page: "http://127.0.0.1:8080/builds/12", want: client.ContainerFilter{BuildID: 12}},
		{page: "https://ci.example.com/teams/main/pipelines/app/jobs/unit/builds/7",
			want: client.ContainerFilter{PipelineName: "app", JobName: "unit", BuildName: "7"}},
		{page: "https://ci.example.com/teams/main", bad: true},
		{page: "https://ci.example.com/builds/x", bad: true},
		{page: "::", bad: true},
	}
	for _, test := range tests {
		got, err := filterOfPage(client.ContainerFilter{}, test.page)
		if test.bad != (err != nil) || err == nil && got != test.want {
			t.Errorf("%s: got %+v, %v; want %+v", test.page, got, err, test.want)
		}
	}
}

func TestParseEscape(t *testing.T) {
	for text, want := range map[string]byte{"~": '~', "none": 0, "%": '%'} {
		if got, err := parseEscape(text); err != nil || got != want {
			t.Errorf("%q: got %q, %v; want %q", text, got, err, want)
		}
	}
	for _, text := range []string{"", "~~", " ", "\x00", "ö"} {
		if _, err := parseEscape(text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

func TestShortDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		time.Hour:                            "1h",
		time.Hour - time.Millisecond:         "1h",
		90 * time.Minute:                     "1h30m",
		59 * time.Minute:                     "59m",
		30 * time.Second:                     "30s",
		2*time.Hour + 10*time.Second:         "2h",
		10*time.Minute + time.Second:         "10m",
		3*time.Minute + 999*time.Microsecond: "3m",
	} {
		if got := shortDuration(d); got != want {
			t.Errorf("%v: got %s, want %s", d, got, want)
		}
	}
}

func TestEmptyContainerPath(t *testing.T) {
	if place, err := parseContainerPath("", false); err == nil {
		t.Errorf("what is empty names %+v", place)
	}
	if place, err := parseContainerPath(":", false); err != nil || place.path != "." {
		t.Errorf("the newest build's directory is %+v, %v", place, err)
	}
}
