package postgres

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

// Access says who may log in to a PostgreSQL that is not ours alone, and how.
type Access struct {
	Database      string
	ServerAddress string // from where the server connects: a CIDR, an address, samehost, samenet or all
	People        string // how people log in from elsewhere: scram (passwords) or cert
	Superuser     string // "" says nothing of one, for lines that go above others
	Map           string // of pg_ident.conf, for a superuser whom the operating system calls otherwise; mostly empty
}

// HBA gives the text of pg_hba.conf, for PostgreSQL 12 to 18. It lets nobody in but the superuser on PostgreSQL's own machine,
// and the server and users over TLS. Put above other lines it leaves the logins of others as they are.
// Errors: invalid usage.
func (a Access) HBA() (string, error) {
	address, err := hbaAddress(a.ServerAddress)
	if err != nil {
		return "", err
	}
	method, words := "scram-sha-256", "by password (tinydev user password)"
	switch a.People {
	case "scram":
	case "cert":
		method, words = "cert", "by certificate (tinydev ca user)"
	default:
		return "", accessFault("people log in by scram or cert, not by %q", a.People)
	}
	if address == "all" && a.People == "scram" {
		return "", accessFault("nobody would be left to log in by password: narrow the server's address, or let people log in by cert")
	}
	peer := "peer"
	if a.Map != "" {
		peer += " map=" + hbaWord(a.Map)
	}
	for _, word := range []string{a.Database, a.Superuser, a.Map} {
		if strings.ContainsFunc(word, func(r rune) bool { return r < ' ' }) {
			return "", accessFault("%q is no name", word)
		}
	}
	if a.Database == "" {
		return "", accessFault("the database needs a name")
	}
	database := hbaWord(a.Database)
	type row struct {
		note   string
		fields [5]string
	}
	rows := []row{{"", [5]string{"# TYPE", "DATABASE", "USER", "ADDRESS", "METHOD"}}}
	if a.Superuser != "" {
		rows = append(rows, row{"The superuser, on this machine alone, whom the operating system vouches for.", [5]string{"local", "all", hbaWord(a.Superuser), "", peer}})
	}
	rows = append(rows,
		row{"The server, as itself and as each user: by certificates whose CN is the role. Superusers do not count as members (+).",
			[5]string{"hostssl", database, ServerRole, address, "cert"}},
		row{"", [5]string{"hostssl", database, "+tinydev_user", address, "cert"}})
	if address != "all" {
		rows = append(rows, row{"People from anywhere else, " + words + ".", [5]string{"hostssl", database, "+tinydev_user", "all", method}})
	}
	rows = append(rows, row{"No line that may follow lets them in by another way, such as without TLS.", [5]string{"host", database, ServerRole + ",+tinydev_user", "all", "reject"}})
	var width [4]int
	for _, row := range rows {
		for i := range width {
			width[i] = max(width[i], len(row.fields[i]))
		}
	}
	var b strings.Builder
	b.WriteString("# Who may log in to PostgreSQL for TinyDevCRM. The first line that fits a login decides: keep these above others.\n")
	for _, row := range rows {
		if row.note != "" {
			fmt.Fprintf(&b, "# %s\n", row.note)
		}
		for i := range width {
			fmt.Fprintf(&b, "%-*s  ", width[i], row.fields[i])
		}
		b.WriteString(row.fields[4] + "\n")
	}
	return b.String(), nil
}

func hbaAddress(text string) (string, error) {
	if slices.Contains([]string{"samehost", "samenet", "all"}, text) {
		return text, nil
	}
	if prefix, err := netip.ParsePrefix(text); err == nil {
		if prefix.Masked() != prefix {
			return "", accessFault("%s is no network; did you mean %s?", text, prefix.Masked())
		}
		return prefix.String(), nil
	}
	ip, err := netip.ParseAddr(text)
	if err != nil || ip.Zone() != "" {
		return "", accessFault("%q is no address: write 10.0.0.5/32, samehost, samenet or all", text)
	}
	return netip.PrefixFrom(ip, ip.BitLen()).String(), nil
}

var hbaPlain = regexp.MustCompile(`^[a-z_][a-z0-9_]*$`)

// hbaWord quotes what would mean something else in pg_hba.conf.
func hbaWord(word string) string {
	if hbaPlain.MatchString(word) && !slices.Contains([]string{"all", "sameuser", "samerole", "samegroup", "replication"}, word) {
		return word
	}
	return `"` + strings.ReplaceAll(word, `"`, `""`) + `"`
}

func accessFault(format string, args ...any) error {
	return fault.New(fault.Invalid, "usage", format, args...).WithHint("tinydev ca hba --help shows how")
}
