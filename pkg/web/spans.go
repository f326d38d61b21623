package web

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

// units of lengths of time as forms have them, the longest first.
var units = []struct {
	words   string // the first is written
	seconds int
}{
	{"days day d", 86400}, {"h hour hours", 3600}, {"min m minute minutes", 60}, {"s sec second seconds", 1},
}

// span writes a number of seconds as people do, without losing any of them: "2 min", "90 s".
func span(seconds int) string {
	for _, unit := range units {
		if seconds%unit.seconds != 0 || seconds == 0 && unit.seconds > 1 {
			continue
		}
		word, _, _ := strings.Cut(unit.words, " ")
		if n := seconds / unit.seconds; n != 1 || word != "days" {
			return fmt.Sprintf("%d %s", n, word)
		}
		return "1 day"
	}
	return fmt.Sprintf("%d s", seconds)
}

// spans writes several, with commas between them.
func spans(list []int) string {
	words := make([]string, len(list))
	for i, seconds := range list {
		words[i] = span(seconds)
	}
	return strings.Join(words, ", ")
}

var spanPattern = regexp.MustCompile(`^(\d{1,9})\s*([a-z]*)$`)

// parseSpan reads what span writes; a number alone is in seconds. Errors: invalid form_invalid, about field.
func parseSpan(field, text string) (int, error) {
	found := spanPattern.FindStringSubmatch(strings.ToLower(strings.TrimSpace(text)))
	if found != nil {
		n, _ := strconv.Atoi(found[1])
		for _, unit := range units {
			for word := range strings.FieldsSeq(unit.words) {
				if word == found[2] || found[2] == "" && unit.seconds == 1 {
					return n * unit.seconds, nil
				}
			}
		}
	}
	return 0, fault.New(fault.Invalid, "form_invalid", "%q is no length of time", text).WithHint("write it as 30 s, 5 min, 2 h or 1 day").With("field", field)
}

// parseSpans reads several, with commas between them; none for "". Errors: as parseSpan.
func parseSpans(field, text string) ([]int, error) {
	list := []int{}
	for part := range strings.SplitSeq(text, ",") {
		if strings.TrimSpace(part) == "" {
			continue
		}
		seconds, err := parseSpan(field, part)
		if err != nil {
			return nil, err
		}
		list = append(list, seconds)
	}
	return list, nil
}
