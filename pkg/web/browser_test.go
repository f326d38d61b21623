package web_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// patience is for one step in the browser; cronPatience for a run that a schedule of whole minutes brings.
const (
	patience     = 30 * time.Second
	cronPatience = 100 * time.Second
)

// browser is one tab of a real Chromium. What it logs as an error fails the test.
type browser struct {
	t     *testing.T
	ctx   context.Context
	url   string
	shots string

	mu     sync.Mutex
	errors []string
}

// browse starts a Chromium for the test, signed in to the site through the sign-in page.
func browse(t *testing.T, s *site) *browser {
	t.Helper()
	b := startBrowser(t, s)
	b.open("/")
	b.see("Sign in")
	b.shoot("00-sign-in")
	b.do("type the token", chromedp.SendKeys(chromedp.CSS("#token"), s.token+"\r"))
	b.see("Sign out")
	return b
}

// startBrowser starts a Chromium for the test.
func startBrowser(t *testing.T, s *site) *browser {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		t.Fatal("the tests of the pages need Chromium, and there is none: apt-get install chromium")
	}
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()), chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck, chromedp.Headless, chromedp.DisableGPU,
		chromedp.WSURLReadTimeout(time.Minute),
	}
	for _, flag := range []string{"disable-background-networking", "disable-component-update", "disable-sync", "disable-extensions", "disable-dev-shm-usage", "force-color-profile=srgb", "hide-scrollbars"} {
		name, value, _ := strings.Cut(flag, "=")
		if value == "" {
			options = append(options, chromedp.Flag(name, true))
		} else {
			options = append(options, chromedp.Flag(name, value))
		}
	}
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox)
	}
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, closeTab := chromedp.NewContext(allocator)
	t.Cleanup(func() {
		closeTab()
		stop()
	})
	b := &browser{t: t, ctx: ctx, url: s.url, shots: os.Getenv("TINYDEV_SCREENSHOTS")}
	if b.shots == "" {
		b.shots = t.TempDir()
	}
	if err := os.MkdirAll(b.shots, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := chromedp.Do(ctx); err != nil { // on a context without a time limit, which would end the browser
		t.Fatalf("start Chromium: %v", err)
	}
	go func() {
		for message, err := range chromedp.Console(ctx) {
			if err != nil {
				return // the tab is closed
			}
			if kind := string(message.Type); kind == "error" || kind == "exception" {
				b.mu.Lock()
				b.errors = append(b.errors, fmt.Sprintf("%s: %s", kind, message.Text))
				b.mu.Unlock()
			}
		}
	}()
	t.Cleanup(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, message := range b.errors {
			// Answers such as 422 are logged as well; that they come is tested where they come.
			if !strings.Contains(message, "Failed to load resource") && !strings.Contains(message, "net::ERR_") {
				t.Errorf("the browser logged %s", message)
			}
		}
	})
	b.viewport(1280)
	return b
}

// do runs steps with a time limit.
func (b *browser) do(what string, steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	err := chromedp.Do(ctx, steps...)
	// A page that is just being replaced loses what was looked up in it; nothing was done to it yet.
	for err != nil && strings.Contains(err.Error(), "Could not find node") && ctx.Err() == nil {
		err = chromedp.Do(ctx, steps...)
	}
	if err != nil {
		if picture, shotErr := chromedp.Run(b.ctx, chromedp.FullScreenshot(100)); shotErr == nil {
			_ = os.WriteFile(filepath.Join(b.shots, "failed.png"), picture, 0o644)
		}
		b.t.Fatalf("%s: %v\nthe page shows:\n%s", what, err, b.text())
	}
}

func (b *browser) open(place string) {
	b.t.Helper()
	b.do("open "+place, chromedp.Navigate(b.url+place))
}

// click clicks what a person would: the link, button or label with a text.
func (b *browser) click(text string) {
	b.t.Helper()
	b.is(`document.readyState === "complete"`)
	b.do("click "+text, chromedp.Click(fmt.Sprintf(`//*[self::a or self::button or self::label or self::summary][normalize-space()=%q]`, text)))
}

func (b *browser) keys(field, keys string) {
	b.t.Helper()
	b.is(`document.readyState === "complete"`) // what is typed before the modules run is not noticed
	b.do("type into "+field, chromedp.SendKeys(chromedp.CSS(field), keys))
}

// text is what the page shows.
func (b *browser) text() string {
	text, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](`document.body ? document.body.innerText : ""`))
	if err != nil {
		return "" // between two pages
	}
	return text
}

func (b *browser) see(texts ...string) { b.t.Helper(); b.seeWithin(patience, texts...) }

func (b *browser) seeWithin(limit time.Duration, texts ...string) {
	b.t.Helper()
	deadline := time.Now().Add(limit)
	for _, text := range texts {
		for !strings.Contains(b.text(), text) {
			if time.Now().After(deadline) {
				b.do("take a picture of the failure", chromedp.Func(func(context.Context, *chromedp.Target) error {
					return fmt.Errorf("there is no %q", text)
				}))
			}
			time.Sleep(30 * time.Millisecond)
		}
	}
}

// is evaluates a condition in the page until it holds.
func (b *browser) is(condition string) {
	b.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(30 * time.Millisecond) {
		holds, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool]("Boolean("+condition+")"))
		if err == nil && holds {
			return
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("it never was that %s (%v)\nthe page shows:\n%s", condition, err, b.text())
		}
	}
}

func (b *browser) viewport(width int64) {
	b.t.Helper()
	b.do("resize", chromedp.EmulateViewport(width, 900))
}

func (b *browser) theme(name string) {
	b.t.Helper()
	_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: name}, {Name: "prefers-reduced-motion", Value: "reduce"},
	}})
	if err != nil {
		b.t.Fatal(err)
	}
}

// audit lists what keeps people from using the page: no room, too little contrast, fields without label, no or several headings.
const audit = `(() => {
  const found = [];
  const root = document.documentElement;
  if (root.scrollWidth > innerWidth) {
    const wide = [...document.querySelectorAll("main *, header *")].filter((e) => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest(".scroll, pre"));
    found.push("the page scrolls sideways: " + root.scrollWidth + " > " + innerWidth + " by " + wide.slice(0, 3).map((e) => e.outerHTML.slice(0, 80)));
  }
  if (document.querySelectorAll("h1").length !== 1) found.push("there is not one h1");
  for (const field of document.querySelectorAll("input:not([type=hidden]), select, textarea"))
    if (!field.labels.length) found.push("no label: " + field.outerHTML.slice(0, 80));
  const parse = (text) => { const n = text.match(/[\d.]+/g).map(Number); return text.startsWith("color(") ? [n[0]*255, n[1]*255, n[2]*255, n[3] ?? 1] : [n[0], n[1], n[2], n[3] ?? 1]; };
  const light = (c) => { const f = c.slice(0, 3).map((v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * f[0] + 0.7152 * f[1] + 0.0722 * f[2]; };
  const behind = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const c = parse(getComputedStyle(e).backgroundColor);
      if (c[3] === 1) return c;
    }
    return [255, 255, 255, 1];
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; node = walker.nextNode();) {
    const element = node.parentElement;
    if (!node.data.trim() || !element.checkVisibility() || element.closest("option, [aria-busy]")) continue;
    const [a, z] = [light(parse(getComputedStyle(element).color)), light(behind(element))];
    const ratio = (Math.max(a, z) + 0.05) / (Math.min(a, z) + 0.05);
    if (ratio < 4.5) found.push("contrast " + ratio.toFixed(2) + ": " + node.data.trim().slice(0, 40));
  }
  return JSON.stringify(found);
})()`

// shoot audits the page, wide and narrow, light and dark, and keeps a picture of each.
func (b *browser) shoot(name string) {
	b.t.Helper()
	for _, width := range []int64{360, 1280} {
		for _, theme := range []string{"dark", "light"} {
			b.viewport(width)
			b.theme(theme)
			result, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](audit))
			if err != nil {
				b.t.Fatalf("audit %s: %v", name, err)
			}
			var found []string
			if err := json.Unmarshal([]byte(result), &found); err != nil {
				b.t.Fatal(err)
			}
			for _, each := range found {
				b.t.Errorf("%s, %d px, %s: %s", name, width, theme, each)
			}
			picture, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
			if err != nil {
				b.t.Fatalf("take a picture of %s: %v", name, err)
			}
			if err := os.WriteFile(filepath.Join(b.shots, fmt.Sprintf("%s-%d-%s.png", name, width, theme)), picture, 0o644); err != nil {
				b.t.Fatal(err)
			}
		}
	}
}

// file writes a file to choose in a form.
func (b *browser) file(name, content string) string {
	b.t.Helper()
	path := filepath.Join(b.t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		b.t.Fatal(err)
	}
	return path
}
