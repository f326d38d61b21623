package deliver

import (
	"context"
	"encoding/json"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

// attachBytes is how large the rows that go along may be.
const attachBytes = 256 << 10

// attach puts the rows of the subscription's table or view into data.attached of an event, read in a session of its owner at the time
// of the attempt. When they cannot be read the event goes without, and says why by the code of the error.
func (r *runner) attach(ctx context.Context, event []byte) []byte {
	rows, err := r.d.Control.As(r.def.Owner).Attachment(ctx, *r.def.Attach, r.def.AttachRows, attachBytes)
	if err != nil {
		rows = control.Attachment{Relation: *r.def.Attach, Error: fault.CodeOf(err)}
	}
	var envelope, data map[string]json.RawMessage
	if json.Unmarshal(event, &envelope) != nil || json.Unmarshal(envelope["data"], &data) != nil || data == nil {
		return event
	}
	if data["attached"], err = json.Marshal(rows); err != nil {
		return event
	}
	if envelope["data"], err = json.Marshal(data); err != nil {
		return event
	}
	whole, err := json.Marshal(envelope)
	if err != nil {
		return event
	}
	return whole
}
