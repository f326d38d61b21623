package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Networks are ranges of addresses, written as 127.0.0.1/32,10.1.0.0/16; a single address stands for itself.
type Networks []netip.Prefix

// Decode implements envconfig.Decoder.
func (n *Networks) Decode(text string) error {
	var list Networks
	if text == "" {
		return nil
	}
	for word := range strings.SplitSeq(text, ",") {
		word = strings.TrimSpace(word)
		network, err := netip.ParsePrefix(word)
		if address, e := netip.ParseAddr(word); e == nil && address.Zone() == "" {
			network, err = netip.PrefixFrom(address, address.BitLen()), nil
		}
		switch {
		case err != nil:
			return errors.New("list networks, such as 127.0.0.1/32,10.1.0.0/16")
		case network.Addr().Is4In6():
			return fmt.Errorf("write %s as an IPv4 network, such as 10.1.0.0/16", word)
		case network != network.Masked():
			return fmt.Errorf("%s has bits that the network has not: write %s, or %s/%d for the one address", word, network.Masked(), network.Addr(), network.Addr().BitLen())
		}
		list = append(list, network)
	}
	*n = list
	return nil
}

// String gives the networks as Decode takes them.
func (n Networks) String() string {
	words := make([]string, len(n))
	for i, network := range n {
		words[i] = network.String()
	}
	return strings.Join(words, ",")
}

// Everyone in Command.Users stands for all users.
const Everyone = "everyone"

// Command is a program that subscriptions may run.
type Command struct {
	Argv           []string `json:"argv"`                      // an absolute path, and arguments
	Users          []string `json:"users,omitempty"`           // who may subscribe with it, or Everyone; none for administrators only
	TimeoutSeconds int      `json:"timeout_seconds,omitempty"` // 1 to 3600; 0 leaves it to the subscription
}

// UnmarshalJSON takes an object, or the bare array of Argv.
func (c *Command) UnmarshalJSON(text []byte) error {
	if bytes.HasPrefix(text, []byte("[")) {
		*c = Command{}
		return json.Unmarshal(text, &c.Argv)
	}
	type object Command
	return strict(bytes.NewReader(text), (*object)(c))
}

// Commands are programs by the names that subscriptions have for them, written in JSON:
// {"notify":["/usr/local/bin/notify"],"mirror":{"argv":["/opt/mirror","--all"],"users":["ann"],"timeout_seconds":30}}.
type Commands map[string]Command

var commandName = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,62}$`)

// Decode implements envconfig.Decoder. Whether the programs are there is for the server to see.
func (c *Commands) Decode(text string) error {
	var commands Commands
	if text == "" {
		return nil
	}
	if err := strict(strings.NewReader(text), &commands); err != nil {
		return fmt.Errorf(`write JSON such as {"notify":["/usr/local/bin/notify"]} or {"notify":{"argv":["/usr/local/bin/notify"],"users":["ann"],"timeout_seconds":30}}: %w`, err)
	}
	for name, command := range commands {
		argv := command.Argv
		switch {
		case !commandName.MatchString(name):
			return fmt.Errorf("name a command with 1 to 63 of a-z, 0-9, _ and -, beginning with a letter, not %q", name)
		case len(argv) == 0:
			return fmt.Errorf("the command %s needs a program", name)
		case !filepath.IsAbs(argv[0]):
			return fmt.Errorf("the program of the command %s has to be an absolute path, such as /usr/local/bin/notify", name)
		case slices.ContainsFunc(argv, func(word string) bool { return strings.Contains(word, "\x00") }):
			return fmt.Errorf("an argument of the command %s holds a NUL", name)
		case command.TimeoutSeconds < 0 || command.TimeoutSeconds > 3600:
			return fmt.Errorf("timeout_seconds of the command %s is 1 to 3600; leave it out for that of the subscription", name)
		}
		for _, user := range command.Users {
			if user != Everyone && !userName.MatchString(user) {
				return fmt.Errorf("the command %s is for the user %q, which no user can be called; everyone stands for all", name, user)
			}
		}
	}
	*c = commands
	return nil
}

// Users gives those of each command.
func (c Commands) Users() map[string][]string {
	users := make(map[string][]string, len(c))
	for name, command := range c {
		users[name] = command.Users
	}
	return users
}

// String gives the commands as Decode takes them.
func (c Commands) String() string {
	if len(c) == 0 {
		return ""
	}
	text, err := json.Marshal(map[string]Command(c))
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// strict reads one JSON value, without anything unknown in it or after it.
func strict(r io.Reader, into any) error {
	d := json.NewDecoder(r)
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is something after the object")
	}
	return nil
}
