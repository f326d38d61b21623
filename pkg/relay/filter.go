package relay

import "strings"

// Filter chooses events; what is missing means all. In both * stands for any characters.
type Filter struct {
	Types    []string // with or without the prefix "tinydev."
	Subjects []string // workspace.name
	// Tested is a subscription, workspace.name, of which alone subscription.tested passes, whatever else is chosen; "" is none, which
	// sees them as other events.
	Tested string
}

type matcher struct {
	types, subjects []string
	tested          string
}

func (f Filter) compile() matcher {
	m := matcher{subjects: f.Subjects, tested: f.Tested}
	for _, t := range f.Types {
		m.types = append(m.types, strings.TrimPrefix(t, "tinydev."))
	}
	return m
}

func (m *matcher) matches(e *Event) bool {
	if m.tested != "" && e.Type == "subscription.tested" {
		return e.Subject == m.tested
	}
	return matchesAny(m.types, e.Type) && matchesAny(m.subjects, e.Subject)
}

func matchesAny(patterns []string, s string) bool {
	for _, p := range patterns {
		if Match(p, s) {
			return true
		}
	}
	return len(patterns) == 0
}

// Match reports whether s matches pattern, in which * stands for any characters, none among them. It is what LIKE does with
// tinydev_lib.glob(pattern).
func Match(pattern, s string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == s
	}
	first, last := parts[0], parts[len(parts)-1]
	if len(s) < len(first)+len(last) || !strings.HasPrefix(s, first) || !strings.HasSuffix(s, last) {
		return false
	}
	s = s[len(first) : len(s)-len(last)]
	for _, part := range parts[1 : len(parts)-1] {
		at := strings.Index(s, part)
		if at < 0 {
			return false
		}
		s = s[at+len(part):]
	}
	return true
}
