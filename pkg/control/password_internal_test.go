package control

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

// The example of RFC 7677, whose server signature is made with this ServerKey; PostgreSQL keeps the same for it.
func TestVerifier(t *testing.T) {
	t.Parallel()
	salt, err := base64.StdEncoding.DecodeString("W22ZaJ0SNY7soEsUEjb6gQ==")
	if err != nil {
		t.Fatal(err)
	}
	got, err := verifier("pencil", salt, 4096)
	want := "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
	if err != nil || got != want {
		t.Errorf("%v\n%s\n%s", err, got, want)
	}
}

func TestCheckPassword(t *testing.T) {
	t.Parallel()
	for _, good := range []string{newPassword(), "twelve chars", strings.Repeat("x", 200)} {
		if err := checkPassword(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"", "eleven char", strings.Repeat("x", 201), "twelve chärs", "twelve\tchars", "twelve chars\x7f"} {
		if fault.CodeOf(checkPassword(bad)) != "password_invalid" {
			t.Errorf("%q is taken", bad)
		}
	}
}
