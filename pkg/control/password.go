package control

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"

	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

// Lengths of a password, in characters.
const (
	minPassword = 12
	maxPassword = 200
)

// scramIterations slows down who tries passwords on a stolen verifier; the client pays for it at each login, some milliseconds.
const scramIterations = 15_000

// newPassword makes a password of 130 random bits.
func newPassword() string { return rand.Text() }

// checkPassword refuses what PostgreSQL's clients do not all take the same way, and what is guessed easily.
func checkPassword(password string) error {
	plain := true
	for _, r := range password {
		plain = plain && r >= ' ' && r <= '~'
	}
	if !plain || len(password) < minPassword || len(password) > maxPassword {
		return fault.New(fault.Invalid, "password_invalid", "a password has %d to %d characters of printable ASCII", minPassword, maxPassword).
			WithHint("leave it out, and one is generated")
	}
	return nil
}

// verifier derives what PostgreSQL keeps of a password: SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey (RFC 5803). Printable
// ASCII needs no SASLprep.
func verifier(password string, salt []byte, iterations int) (string, error) {
	salted, err := pbkdf2.Key(sha256.New, password, salt, iterations, sha256.Size)
	if err != nil {
		return "", fmt.Errorf("derive the password's key: %w", err)
	}
	sign := func(text string) []byte {
		mac := hmac.New(sha256.New, salted)
		mac.Write([]byte(text))
		return mac.Sum(nil)
	}
	stored := sha256.Sum256(sign("Client Key"))
	encode := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", iterations, encode(salt), encode(stored[:]), encode(sign("Server Key"))), nil
}
