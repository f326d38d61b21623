package deliver

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

const (
	attachBytes = 256 << 10        // how large the rows that go along may be
	attachLimit = 20 * time.Second // for a session and the rows, for which PostgreSQL has a shorter limit
)

// attachment reads the rows of the subscription's table or view in a session of its owner, for one attempt and before its time-out begins.
// When these rows cannot be read it says why by the code of the error, and the events go without. Errors: those of trouble with the
// database, and of sessions, which pass: no attempt is to be made then.
func (r *runner) attachment() (json.RawMessage, error) {
	defer r.d.attaching.take(r.sending, r.def.Owner)()
	ctx, cancel := context.WithTimeout(r.sending, attachLimit)
	defer cancel()
	rows, err := r.d.Control.As(r.def.Owner).Attachment(ctx, *r.def.Attach, r.def.AttachRows, attachBytes)
	if err != nil {
		f := fault.As(err)
		if f == nil || f.Kind == fault.Unavailable && !slices.Contains(ofTheRows, f.Code) {
			return nil, err
		}
		rows = control.Attachment{Relation: *r.def.Attach, Error: f.Code}
	}
	return json.Marshal(rows)
}

// ofTheRows are the codes of unavailable that come of what is read, and would come again: it takes too long, or too much memory or disk.
var ofTheRows = []string{"statement_timeout", "canceled", "database_overloaded"}

// attach puts rows into data.attached of an event.
func attach(event []byte, rows json.RawMessage) []byte {
	var envelope, data map[string]json.RawMessage
	if json.Unmarshal(event, &envelope) != nil || json.Unmarshal(envelope["data"], &data) != nil || data == nil {
		return event
	}
	data["attached"] = rows
	var err error
	if envelope["data"], err = json.Marshal(data); err != nil {
		return event
	}
	whole, err := json.Marshal(envelope)
	if err != nil {
		return event
	}
	return whole
}
