package ingest

import (
	"strconv"
	"time"
)

// kinds is a set of types that a cell, or every cell of a column, fits.
type kinds uint16

const (
	kindBoolean kinds = 1 << iota
	kindBigint
	kindNumeric
	kindDouble
	kindDate
	kindTimestamp
	kindUUID
	kindJSON
	allKinds kinds = 1<<iota - 1
)

const textType = "text"

// narrowest picks the type to use from a set; 0, which is text, from the empty set.
func (k kinds) narrowest() kinds { return k & -k }

// name gives PostgreSQL's name of a single kind, "text" for none.
func (k kinds) name() string {
	switch k {
	case kindBoolean:
		return "boolean"
	case kindBigint:
		return "bigint"
	case kindNumeric:
		return "numeric"
	case kindDouble:
		return "double precision"
	case kindDate:
		return "date"
	case kindTimestamp:
		return "timestamptz"
	case kindUUID:
		return "uuid"
	case kindJSON:
		return "jsonb"
	}
	return textType
}

// classify gives the types in open that PostgreSQL accepts v for and that keep its meaning; v is
// not empty. naive says that v is a time without a zone.
//
//   - bigint: digits with or without a minus sign, within 64 bits. Not 007, +1 or anything with
//     spaces, since these are codes and telephone numbers, and text keeps them.
//   - numeric: the same with a decimal point (1.50, .5), or beyond 64 bits. Not "5.".
//   - double precision: a number with an exponent that has a decimal point before it or a sign in
//     it (1.5e3, 1e-7), as programs write it; 1e5 may be a code and stays text, and so do NaN and
//     infinity. A column that mixes both kinds of number must fit 17 digits, so that nothing is lost.
//   - boolean: true, false, t, f, yes, no in any case. Not 0 and 1.
//   - date: 2024-02-29 and 2024/02/29; also 29-Feb-2024, 29 Feb 2024 and Feb 29, 2024 with English
//     names, which PostgreSQL reads alike under every DateStyle. Years 1 to 9999.
//   - timestamptz: 2024-02-29T12:30, with seconds, up to nine decimals (PostgreSQL keeps six), and a
//     zone (Z, UTC, +01, +01:00, +0100) or none, which means UTC; T may be a space. A column of these
//     may hold ISO dates too.
//   - uuid: 32 hexadecimal digits in groups of 8-4-4-4-12.
//   - jsonb: an object or an array that PostgreSQL can store.
func classify(v []byte, open kinds) (fits kinds, naive bool) {
	switch c := v[0]; {
	case c >= '0' && c <= '9' || c == '-' || c == '.':
		if open&(kindBigint|kindNumeric|kindDouble) != 0 {
			if fits = classifyNumber(v) & open; fits != 0 {
				return fits, false
			}
		}
		if open&(kindDate|kindTimestamp) != 0 {
			var k kinds
			if k, naive = classifyTime(v); k&open != 0 {
				return k & open, naive
			}
		}
	case c == '{' || c == '[':
		if open&kindJSON != 0 && isJSONB(v) {
			return kindJSON, false
		}
		return 0, false
	default:
		if open&kindBoolean != 0 && isBoolean(v) {
			return kindBoolean, false
		}
		if open&kindDate != 0 && isWordDate(v) {
			return kindDate, false
		}
	}
	if open&kindUUID != 0 && isUUID(v) {
		return kindUUID, false
	}
	return 0, false
}

// maxDigits keeps a number far from the limits of numeric (131072 digits before the point and
// 16383 after it).
const maxDigits = 10000

// classifyNumber gives the number types that take v.
func classifyNumber(v []byte) kinds {
	i := 0
	if v[0] == '-' {
		i++
	}
	whole := i
	for i < len(v) && v[i]-'0' <= 9 {
		i++
	}
	digits := i - whole
	if digits > 1 && v[whole] == '0' || digits > maxDigits {
		return 0
	}
	if i == len(v) {
		switch {
		case digits == 0:
			return 0
		case digits <= 17:
			return kindBigint | kindNumeric | kindDouble
		case digits == 18, digits == 19 && fitsBigint(v):
			return kindBigint | kindNumeric
		}
		return kindNumeric
	}
	point := v[i] == '.'
	if point {
		i++
		from := i
		for i < len(v) && v[i]-'0' <= 9 {
			i++
		}
		if i == from || i-from > maxDigits {
			return 0
		}
		digits += i - from
		if i == len(v) {
			if digits <= 17 {
				return kindNumeric | kindDouble
			}
			return kindNumeric
		}
	}
	if v[i] != 'e' && v[i] != 'E' || whole+digits == whole || digits > 17 || v[whole] == '.' {
		return 0
	}
	i++
	sign := i < len(v) && (v[i] == '+' || v[i] == '-')
	if sign {
		i++
	}
	from := i
	for i < len(v) && v[i]-'0' <= 9 {
		i++
	}
	if i == from || i != len(v) || i-from > 3 || !sign && !point {
		return 0
	}
	f, err := strconv.ParseFloat(string(v), 64)
	if err != nil || f == 0 && !zeroMantissa(v) {
		return 0
	}
	return kindDouble
}

// zeroMantissa says whether every digit before the exponent is a zero.
func zeroMantissa(v []byte) bool {
	for _, c := range v {
		if c == 'e' || c == 'E' {
			break
		}
		if c >= '1' && c <= '9' {
			return false
		}
	}
	return true
}

func fitsBigint(v []byte) bool {
	_, err := strconv.ParseInt(string(v), 10, 64)
	return err == nil
}

func isBoolean(v []byte) bool {
	if len(v) > 5 {
		return false
	}
	var lower [5]byte
	for i, c := range v {
		lower[i] = c | 0x20
	}
	switch string(lower[:len(v)]) {
	case "t", "f", "true", "false", "yes", "no":
		return true
	}
	return false
}

func isUUID(v []byte) bool {
	if len(v) != 36 {
		return false
	}
	for i, c := range v {
		switch i {
		case 8, 13, 18, 23:
			if c != '-' {
				return false
			}
		default:
			if !(c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f') {
				return false
			}
		}
	}
	return true
}

// classifyTime gives date for a plain date, timestamptz for one with a time, and both where both do.
func classifyTime(v []byte) (fits kinds, naive bool) {
	if len(v) < 10 {
		if isWordDate(v) {
			return kindDate, false
		}
		return 0, false
	}
	year, ok1 := digits(v[0:4])
	month, ok2 := digits(v[5:7])
	day, ok3 := digits(v[8:10])
	dashes := v[4] == '-' && v[7] == '-'
	slashes := v[4] == '/' && v[7] == '/'
	if !ok1 || !ok2 || !ok3 || !dashes && !slashes {
		if isWordDate(v) {
			return kindDate, false
		}
		return 0, false
	}
	if !validDate(year, month, day) {
		return 0, false
	}
	if len(v) == 10 {
		if slashes {
			return kindDate, false
		}
		return kindDate | kindTimestamp, false
	}
	if !dashes || v[10] != 'T' && v[10] != ' ' {
		return 0, false
	}
	zone, ok := timeOfDay(v[11:])
	if !ok {
		return 0, false
	}
	switch {
	case len(zone) == 0:
		return kindTimestamp, true
	case isZone(zone):
		return kindTimestamp, false
	}
	return 0, false
}

// timeOfDay reads hh:mm, hh:mm:ss or hh:mm:ss.fraction and gives what follows. 24:00 and leap
// seconds are left to text.
func timeOfDay(v []byte) (rest []byte, ok bool) {
	if len(v) < 5 || v[2] != ':' {
		return nil, false
	}
	hour, ok1 := digits(v[0:2])
	minute, ok2 := digits(v[3:5])
	if !ok1 || !ok2 || hour > 23 || minute > 59 {
		return nil, false
	}
	v = v[5:]
	if len(v) == 0 || v[0] != ':' {
		return v, true
	}
	if len(v) < 3 {
		return nil, false
	}
	second, ok3 := digits(v[1:3])
	if !ok3 || second > 59 {
		return nil, false
	}
	v = v[3:]
	if len(v) == 0 || v[0] != '.' {
		return v, true
	}
	i := 1
	for i < len(v) && v[i]-'0' <= 9 {
		i++
	}
	return v[i:], i > 1 && i <= 10
}

// isZone takes Z, UTC after a space, ±hh, ±hhmm and ±hh:mm, up to 14 hours.
func isZone(v []byte) bool {
	switch string(v) {
	case "Z", " UTC":
		return true
	}
	if v[0] != '+' && v[0] != '-' {
		return false
	}
	v = v[1:]
	minute, ok := 0, true
	switch {
	case len(v) == 5 && v[2] == ':':
		minute, ok = digits(v[3:5])
	case len(v) == 4:
		minute, ok = digits(v[2:4])
	case len(v) != 2:
		return false
	}
	hour, ok2 := digits(v[0:2])
	return ok && ok2 && hour <= 14 && minute <= 59
}

// digits reads v, which holds nothing but digits.
func digits(v []byte) (n int, ok bool) {
	for _, c := range v {
		if c-'0' > 9 {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, true
}

func validDate(year, month, day int) bool {
	if year < 1 || month < 1 || month > 12 || day < 1 {
		return false
	}
	return day <= 28 || day <= time.Date(year, time.Month(month)+1, 0, 0, 0, 0, 0, time.UTC).Day()
}

// wordDates are the layouts with a month's name, which PostgreSQL reads alike under every DateStyle.
var wordDates = []string{"2-Jan-2006", "2 Jan 2006", "Jan 2, 2006", "2 January 2006", "January 2, 2006"}

// isWordDate says whether v is a date with an English month name and a year of four digits.
func isWordDate(v []byte) bool {
	if len(v) < 10 || len(v) > 18 {
		return false
	}
	for _, layout := range wordDates {
		if d, err := time.Parse(layout, string(v)); err == nil {
			return d.Year() >= 1000
		}
	}
	return false
}
