package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

// Running is what a server tells about itself in <data-dir>/server.json while it runs.
type Running struct {
	URL         string `json:"url"`
	DatabaseURL string `json:"database_url"` // as the first user; holds no password
	PID         int    `json:"pid"`
	User        string `json:"user"`    // the first user
	CACert      string `json:"ca_cert"` // files of the authority whose certificates the database asks for; empty where it asks for none
	CAKey       string `json:"ca_key"`
}

// ReadRunning reads <data-dir>/server.json. Errors: unavailable server_not_running when there is none; a server that was killed
// leaves its file behind, so that one is there does not mean that it answers.
func ReadRunning(dataDir string) (Running, error) {
	var running Running
	path := filepath.Join(dataDir, "server.json")
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return running, fault.New(fault.Unavailable, "server_not_running", "no server runs on the data directory %s", dataDir).
			WithHint("start one with: make run; or name another with --data-dir, or its address with TINYDEV_URL and TINYDEV_TOKEN").Because(err)
	case err != nil:
		return running, fault.New(fault.Invalid, "data_dir_invalid", "%s cannot be read: %v", path, err).Because(err)
	}
	if err := json.Unmarshal(text, &running); err != nil {
		return running, fmt.Errorf("read %s: %w", path, err)
	}
	return running, nil
}

// ReadToken reads <data-dir>/token, the first user's. Errors: forbidden token_unreadable; unavailable server_not_running.
func ReadToken(dataDir string) (string, error) {
	path := filepath.Join(dataDir, "token")
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", fault.New(fault.Unavailable, "server_not_running", "there is no token in the data directory %s", dataDir).
			WithHint("start a server with: make run; or set TINYDEV_TOKEN").Because(err)
	case err != nil:
		return "", fault.New(fault.Forbidden, "token_unreadable", "%s cannot be read: %v", path, err).
			WithHint("run as the user who started the server, or set TINYDEV_TOKEN").Because(err)
	}
	return strings.TrimSpace(string(text)), nil
}

// Locate is a locate function for New: the given address and token, and for what is empty those of the server on dataDir.
// The token of the data directory is sent to its own server only.
func Locate(url, token, dataDir string) func() (Endpoint, error) {
	return func() (Endpoint, error) {
		at := Endpoint{URL: url, Token: token}
		if at.URL != "" && at.Token != "" {
			return at, nil
		}
		running, err := ReadRunning(dataDir)
		if at.URL == "" {
			if err != nil {
				return at, err
			}
			at.URL = running.URL
		}
		if at.Token != "" {
			return at, nil
		}
		if strings.TrimRight(at.URL, "/") != strings.TrimRight(running.URL, "/") {
			return at, fault.New(fault.Unauthentic, "token_missing", "there is no token for %s", at.URL).WithHint("set TINYDEV_TOKEN")
		}
		at.Token, err = ReadToken(dataDir)
		return at, err
	}
}
