package web

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"html/template"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
)

// pages are the parsed templates, one set for each page, and the assets.
type pages struct {
	sets   map[string]*template.Template
	assets map[string]asset
}

type asset struct {
	contentType string
	etag        string
	body        []byte
}

func parsePages() (pages, error) {
	p := pages{sets: map[string]*template.Template{}, assets: map[string]asset{}}
	shared, err := template.New("").Funcs(functions).ParseFS(embedded, "templates/shared/*.html")
	if err != nil {
		return p, err
	}
	names, err := fs.Glob(embedded, "templates/*.html")
	if err != nil {
		return p, err
	}
	for _, name := range names {
		set, err := shared.Clone()
		if err == nil {
			set, err = set.ParseFS(embedded, name)
		}
		if err != nil {
			return p, err
		}
		p.sets[strings.TrimSuffix(path.Base(name), ".html")] = set
	}
	return p, p.readAssets()
}

func (p *pages) readAssets() error {
	entries, err := fs.ReadDir(embedded, "assets")
	if err != nil {
		return err
	}
	for _, entry := range entries {
		body, err := fs.ReadFile(embedded, "assets/"+entry.Name())
		if err != nil {
			return err
		}
		contentType := mime.TypeByExtension(path.Ext(entry.Name()))
		if path.Ext(entry.Name()) == ".js" { // some systems' tables say otherwise, and a module has to be this
			contentType = "text/javascript; charset=utf-8"
		}
		sum := sha256.Sum256(body)
		p.assets[entry.Name()] = asset{contentType: contentType, etag: `"` + hex.EncodeToString(sum[:8]) + `"`, body: body}
	}
	return nil
}

// page is what every template gets.
type page struct {
	Title   string
	Section string // which entry of the navigation is current
	Role    string // "" before sign-in
	// Administrator says whether the pages for administrators are worth a link.
	Administrator bool
	Now           time.Time
	Notice        string
	Data          any
}

// show answers with a page, or with the one block of it that our modules asked for.
func (v *visit) show(status int, name, section, title string, data any) error {
	p := page{Title: title, Section: section, Now: v.now, Notice: notice(v.QueryParam("done"), v.QueryParam("n")), Data: data}
	if v.user != nil {
		p.Role = v.user.Role
		var err error
		if p.Administrator, err = v.isAdministrator(); err != nil {
			v.internal("it is not known whether this is an administrator", err) // the page is worth more than the link
		}
	}
	set, ok := v.web.pages.sets[name]
	if !ok {
		return fmt.Errorf("show the page %s: there is no such template", name)
	}
	block := "layout"
	if fragment := v.Request().Header.Get(fragmentHeader); fragment != "" && set.Lookup("fragment-"+fragment) != nil {
		block = "fragment-" + fragment
	}
	var out bytes.Buffer
	if err := set.ExecuteTemplate(&out, block, p); err != nil {
		return fmt.Errorf("show the page %s: %w", name, err)
	}
	return v.HTMLBlob(status, out.Bytes())
}

// partial says whether a module of ours asks for a block of the page.
func (v *visit) partial() bool { return v.Request().Header.Get(fragmentHeader) != "" }

// back sends the browser to a page after a change was made (303, so that a reload does not repeat it). Modules, which cannot see
// where a redirect leads, get 201 with the place in Location.
func (v *visit) back(place string) error {
	if v.partial() {
		v.Response().Header().Set("Location", place)
		return v.NoContent(http.StatusCreated)
	}
	return v.Redirect(http.StatusSeeOther, place)
}

// notices are what a page says after the change that led to it; the text never comes from the address.
var notices = map[string]string{
	"loaded":      "Loaded %s.",
	"created":     "The view is made and filled: %s.",
	"replaced":    "The view has its new query: %s.",
	"refreshed":   "Refreshed: %s.",
	"scheduled":   "The schedule is saved; PostgreSQL runs it from now on.",
	"paused":      "The job is paused.",
	"resumed":     "The job runs again.",
	"ran":         "The job has run.",
	"run-failed":  "The job has run and failed; the list of runs says why.",
	"cancelled":   "The run was asked to end.",
	"all-paused":  "All jobs of yours are paused.",
	"all-resumed": "All jobs of yours run again.",
	"removed":     "The job is removed; the view stays as it is.",
	"dropped":     "It is dropped.",

	"promised":   "The promise is made; when it is broken, that is an event.",
	"unpromised": "Nothing is promised of its age any more.",

	"subscribed":           "The subscription is made; it is sent what happens from now on.",
	"subscription-changed": "The subscription is changed.",
	"subscription-paused":  "The subscription is paused; what happens meanwhile is sent when it is resumed.",
	"subscription-resumed": "The subscription goes on where it stopped.",
	"address-set":          "The address is set: you are told from now on.",
	"redelivered":          "It is sent once more.",
	"redelivered-more":     "The first 10,000 are sent once more; ask again for the rest.",
	"replayed":             "What fits is sent again from there on.",
	"mended":               "What could be mended without a loss is mended.",
	"trigger-made":         "The trigger is made; it notifies from the next event on.",

	"user-made":        "The user is made. To come in, it needs a token or a password.",
	"limited":          "The limits are saved. Those of connections, memory and temporary files hold for new sessions.",
	"admin-given":      "The user is an administrator now.",
	"admin-taken":      "The user is no administrator any more.",
	"unlinked":         "The link is gone.",
	"settings-saved":   "The settings are saved.",
	"password-set":     "The password is set.",
	"token-revoked":    "The token is revoked; within seconds nobody comes in with it, nor with the pages that were opened with it.",
	"trusted":          "Trusted: this owner's code may run with your rights.",
	"untrusted":        "Trusted no longer.",
	"shared":           "It is shared.",
	"unshared":         "It is not shared in that way any more.",
	"unshared-in-part": "It is taken back, but others were given it along with that, or it can still be used in another way: look at the list.",
}

func notice(code, number string) string {
	text := notices[code]
	if !strings.Contains(text, "%s") {
		return text
	}
	var n int64
	if _, err := fmt.Sscan(number, &n); err != nil {
		return ""
	}
	return fmt.Sprintf(text, rowCount(n))
}

// grid is a table of rows for the template "grid".
type grid struct {
	Label   string
	Columns []control.Column
	Rows    [][]*string
	More    bool
}

// Count tells how many rows a relation has: exactly when the page shows all of them, else as the planner estimates.
func (g grid) Count(relation control.Relation) string {
	if len(g.Columns) > 0 && !g.More {
		return rowCount(int64(len(g.Rows)))
	}
	return estimate(relation.RowEstimate)
}
