package console

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/tinydevcrm/tinydevcrm/pkg/client"
	"github.com/tinydevcrm/tinydevcrm/pkg/relay"
)

// Event gives an event in one line: position, time in UTC, type, subject, and what there is to say of it.
func Event(event client.Event) string {
	line := fmt.Sprintf("%6d  %s  %-16s %s  %s", event.Position, event.Time.UTC().Format("2006-01-02 15:04:05.000"),
		strings.TrimPrefix(event.Type, "tinydev."), event.Subject, eventWords(event.Data))
	return oneLine(strings.TrimRight(line, " "))
}

// Reset says why a stream goes on elsewhere, and what is missing.
func Reset(reset relay.Reset) string {
	if reset.Asked > reset.Head {
		return fmt.Sprintf("the log ends at position %d, before %d: the database was restored, or is another one; going on with what comes next", reset.Head, reset.Asked)
	}
	return fmt.Sprintf("the events from %d to %d are not kept any more; going on with the oldest, %d", reset.Asked+1, reset.Oldest-1, reset.Oldest)
}

// eventWords puts the data of the common events in words; other data is shown as it is.
func eventWords(data json.RawMessage) string {
	var known struct {
		Rows       *int64  `json:"rows"`
		Inserted   *int64  `json:"inserted"`
		Deleted    *int64  `json:"deleted"`
		DurationMS *int64  `json:"duration_ms"`
		Cause      string  `json:"cause"`
		SQLState   string  `json:"sqlstate"`
		Message    *string `json:"message"`
	}
	if json.Unmarshal(data, &known) != nil {
		return string(data)
	}
	var words []string
	if known.Message != nil {
		words = append(words, *known.Message)
	}
	if known.SQLState != "" {
		words = append(words, "SQLSTATE "+known.SQLState)
	}
	if known.Rows != nil {
		words = append(words, Count(*known.Rows, "row"))
	}
	if known.Inserted != nil && known.Deleted != nil && *known.Inserted+*known.Deleted > 0 {
		words = append(words, fmt.Sprintf("+%d -%d", *known.Inserted, *known.Deleted))
	}
	if known.DurationMS != nil {
		words = append(words, Duration(time.Duration(*known.DurationMS)*time.Millisecond))
	}
	if known.Cause != "" {
		words = append(words, known.Cause)
	}
	if len(words) == 0 && string(data) != "{}" {
		return string(data)
	}
	return strings.Join(words, ", ")
}
