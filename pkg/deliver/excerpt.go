package deliver

import (
	"strings"
	"unicode/utf8"
)

// excerpt makes Outcome.Response of the beginning of what a target said.
func excerpt(answer []byte) string {
	return shorten(string(answer), ResponseBytes)
}

// shorten makes text that PostgreSQL takes, valid UTF-8 without NUL, of at most limit bytes.
func shorten(text string, limit int) string {
	text = strings.ReplaceAll(text, "\x00", "")
	if len(text) <= limit && utf8.ValidString(text) {
		return text
	}
	whole := text[:min(len(text), limit)]
	for i := 1; i < utf8.UTFMax && i <= len(whole); i++ { // a letter that was cut
		if tail := whole[len(whole)-i:]; utf8.RuneStart(tail[0]) {
			if !utf8.FullRuneInString(tail) {
				whole = whole[:len(whole)-i]
			}
			break
		}
	}
	valid := strings.ToValidUTF8(whole, "�")
	for len(valid) > limit {
		_, size := utf8.DecodeLastRuneInString(valid)
		valid = valid[:len(valid)-size]
	}
	return valid
}
