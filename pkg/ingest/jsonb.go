package ingest

import (
	"encoding/json"
)

const (
	maxJSONDepth = 256      // PostgreSQL gives up when its stack is full, at a few thousand
	maxJSONBytes = 64 << 20 // a jsonb string may have 256 MiB, and the whole of it too
)

// isJSONB says whether v, which begins with { or [, is JSON that jsonb can store. Unlike json, jsonb
// refuses \u0000, halves of surrogate pairs, and numbers that numeric cannot hold.
func isJSONB(v []byte) bool {
	last := v[len(v)-1]
	if last != '}' && last != ']' || len(v) > maxJSONBytes {
		return false
	}
	depth, inString, highHalf := 0, false, false
	for i := 0; i < len(v); i++ {
		c := v[i]
		if inString {
			if highHalf && !(c == '\\' && i+1 < len(v) && v[i+1] == 'u') {
				return false
			}
			switch c {
			case '"':
				inString = false
			case '\\':
				if i++; i >= len(v) {
					return false
				}
				if v[i] != 'u' {
					continue
				}
				code, ok := hex4(v[i+1:])
				low := code >= 0xDC00 && code <= 0xDFFF
				if !ok || code == 0 || low != highHalf {
					return false
				}
				highHalf = code >= 0xD800 && code <= 0xDBFF
				i += 4
			}
			continue
		}
		switch {
		case c == '"':
			inString = true
		case c == '{' || c == '[':
			if depth++; depth > maxJSONDepth {
				return false
			}
		case c == '}' || c == ']':
			depth--
		case c-'0' <= 9:
			from := i
			for i+1 < len(v) && isNumberByte(v[i+1]) {
				i++
			}
			if !jsonbNumber(v[from : i+1]) {
				return false
			}
		}
	}
	return json.Valid(v)
}

func isNumberByte(c byte) bool {
	return c-'0' <= 9 || c == '.' || c == '-' || c == '+' || c == 'e' || c == 'E'
}

// jsonbNumber says whether numeric holds the number with room to spare.
func jsonbNumber(v []byte) bool {
	if len(v) > maxDigits {
		return false
	}
	for i, c := range v {
		if c == 'e' || c == 'E' {
			return len(v)-i <= 5 // a sign and three digits, or four
		}
	}
	return true
}

// hex4 reads the four hexadecimal digits that v begins with.
func hex4(v []byte) (code int, ok bool) {
	if len(v) < 4 {
		return 0, false
	}
	for _, c := range v[:4] {
		switch {
		case c >= '0' && c <= '9':
			code = code<<4 | int(c-'0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			code = code<<4 | int(c|0x20-'a'+10)
		default:
			return 0, false
		}
	}
	return code, true
}
