package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

const tokenPrefix = "td_"

var tokenPattern = regexp.MustCompile(`^td_[A-Za-z0-9_-]{43}$`)

// NewToken makes a token: td_ and 32 random bytes.
func NewToken() string { return tokenPrefix + random(32) }

// Stored gives what the database keeps of a token: its SHA-256 in hexadecimal, and the beginning by which a person knows it again.
func Stored(token string) (sum, prefix string) {
	s := sha256.Sum256([]byte(token))
	return hex.EncodeToString(s[:]), token[:min(len(token), len(tokenPrefix)+4)]
}

// random gives n random bytes as text that needs no escaping in a URL.
func random(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return base64.RawURLEncoding.EncodeToString(b)
}

// KeptToken gives the token in a file, which is made (0600) with a new token when it is not there.
// Errors: invalid token_file_invalid when the file holds something else.
func KeptToken(path string) (string, error) {
	text, err := os.ReadFile(path)
	switch {
	case err == nil:
		token := strings.TrimSpace(string(text))
		if !tokenPattern.MatchString(token) {
			return "", fault.New(fault.Invalid, "token_file_invalid", "%s does not hold a token", path).WithHint("remove the file, and a new token is made")
		}
		if err := os.Chmod(path, 0o600); err != nil {
			return "", fmt.Errorf("close the token's file: %w", err)
		}
		return token, nil
	case !errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("read the token: %w", err)
	}
	token := NewToken()
	if err := WriteFile(path, []byte(token+"\n")); err != nil {
		return "", fmt.Errorf("keep the token: %w", err)
	}
	return token, nil
}

// WriteFile writes a file (0600) that is there whole or not at all, also after a loss of power.
func WriteFile(path string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*") // 0600
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	err = errors.Join(err, file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	return nil
}
