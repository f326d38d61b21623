package web_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
)

// TestManyUsersInBrowser is an administrator who lets somebody in, shares a table, and shuts the door again; each in a browser of
// their own.
func TestManyUsersInBrowser(t *testing.T) {
	t.Parallel()
	s := open(t, pgtest.DB(t), pgtest.Admin)
	run(t, s.db.Conn(pgtest.Admin), "create table friends (name text, born date)", "insert into friends values ('bob', '1912-06-23'), ('eve', '1906-12-09')", "analyze friends")
	boss, name := browse(t, s), newName()

	boss.click("Users")
	boss.see("Token last used", "bob", "(you)")
	boss.shoot("50-users")
	boss.click("New user")
	boss.keys("#name", name)
	boss.is(`document.getElementById("plan").textContent.includes("create role ` + name + ` login")`)
	boss.click("Limits")
	boss.keys("#page_rows", "50")
	boss.is(`document.getElementById("plan").textContent.includes("page_rows")`)
	boss.click("Show SQL")
	boss.shoot("51-new-user")
	boss.click("Make the user")
	boss.see("The user is made.", "No tokens")
	boss.shoot("52-user")
	boss.click("Make a token")
	boss.see("New token for " + name)
	boss.keys("#name", "laptop")
	boss.is(`document.getElementById("plan").textContent.includes("create_token")`)
	boss.shoot("53-new-token")
	boss.click("Make the token")
	boss.see("The token laptop is made", "curl")
	boss.click("Copy")
	boss.is(`document.querySelector(".once button").textContent === "Copied"`)
	token, err := chromedp.Run(boss.ctx, chromedp.Evaluate[string](`document.getElementById("token").value`))
	if err != nil || !strings.HasPrefix(token, "td_") {
		t.Fatalf("the page shows the token %q (%v)", token, err)
	}
	boss.do("hide the token from the picture", chromedp.Evaluate[chromedp.Void](`void document.getElementById("token").blur()`))
	boss.shoot("54-made-token")
	boss.click("I have kept it")
	boss.see("laptop", token[:7])
	boss.shoot("55-user-with-token")

	ann := browse(t, s.as(token))
	ann.see("Workspace " + name)
	ann.open("/tables")
	ann.see("No tables yet")
	ann.click(name)
	ann.see("tinydev psql --user "+name, "Browsers that are signed in", "this one")
	ann.shoot("60-account")
	ann.open("/users")
	ann.see("For administrators")
	ann.shoot("61-not-an-administrator")

	boss.open("/tables")
	boss.click("admin.friends")
	boss.see("Nobody: only you")
	boss.keys("#to", name)
	boss.is(`document.getElementById("plan").textContent.includes("grant select on admin.friends to ` + name + `")`)
	boss.shoot("56-share")
	boss.click("Share")
	boss.see("It is shared.", name+" may read")
	boss.shoot("57-shared")

	ann.open("/tables")
	ann.see("admin.friends", "shared")
	ann.shoot("62-tables")
	ann.click("admin.friends")
	ann.see("This belongs to admin; you may read.", "1912-06-23")
	ann.shoot("63-table-of-another")

	boss.click("Users")
	boss.click(name)
	boss.do("open the confirmation", chromedp.Click(chromedp.CSS(`main a[href^="/tokens/revoke"]`)))
	boss.see("Revoke the token?")
	boss.shoot("58-revoke")
	boss.click("Revoke the token")
	boss.see("The token is revoked")
	// The server may remember a token for seconds; then the next click meets the sign-in page.
	ann.is(`(document.querySelector('nav a[href="/tables"]')?.click(), document.querySelector("h1")?.textContent === "Sign in")`)
	ann.see("Token")

	for _, page := range []struct{ place, text, name string }{
		{"/settings", "All users may read new workspaces", "70-settings"},
		{"/audit", "token.removed", "71-audit"},
		{"/audit?actor=admin&action=create+user", "create user", "72-audit-filtered"},
		{"/user/drop?name=" + name, "Drop " + name + "?", "73-drop-user"},
		{"/user/admin?name=" + name + "&admin=true", "Make " + name + " an administrator?", "74-make-administrator"},
		{"/password?user=" + name, "Set the password of " + name, "75-password"},
	} {
		boss.open(page.place)
		boss.see(page.text)
		boss.shoot(page.name)
	}
	boss.open("/password")
	boss.click("Make one up")
	boss.see("The password is set")
	boss.shoot("76-made-password")
	boss.open("/audit")
	boss.do("unfold an entry", chromedp.Click(chromedp.CSS(".events summary")))
	boss.is(`document.querySelector(".events details").open`)

	boss.open("/user/drop?name=" + name)
	boss.click("Drop the user")
	boss.see(name + " is dropped")
	boss.shoot("77-dropped")
	boss.open("/users/new")
	boss.keys("#name", name)
	boss.see("A former user was named " + name)
	boss.click("It is the same person; they see what the former user of this name loaded and did")
	boss.is(`!document.querySelector("#plan .problem") && document.querySelector("[name=reuse]").checked`)
	boss.shoot("78-name-again")
	boss.click("Make the user")
	boss.see("The user is made.")
}

// TestForeignCodeInBrowser is refused another's code, reads what trusting means, trusts, and takes it back.
func TestForeignCodeInBrowser(t *testing.T) {
	t.Parallel()
	s := open(t, pgtest.DB(t), pgtest.Bob)
	run(t, s.db.Conn("eve"), "create table secrets (a int)", "insert into secrets values (42)", "create function peek(secrets) returns boolean language sql as 'select true'",
		"alter table secrets enable row level security", "create policy mine on secrets using (peek(secrets))", "select tinydev.share('secrets', 'bob')")
	b := browse(t, s)
	b.open("/table?" + url.Values{"name": {"eve.secrets"}}.Encode())
	b.see("This belongs to eve", "Code that would run", "row policy mine")
	b.shoot("80-foreign-code")
	b.click("What trusting eve means…")
	b.see("Trust eve?", "with your rights")
	b.shoot("81-trust")
	b.click("Trust eve")
	b.see("Trusted: this owner", "42")
	b.open("/account")
	b.see("Trust no longer")
	b.shoot("82-account-with-trust")
}

// TestKeyboardOfForms fills in the form of a new user, and sends it, by keys alone.
func TestKeyboardOfForms(t *testing.T) {
	t.Parallel()
	s := open(t, pgtest.DB(t), pgtest.Admin)
	b := browse(t, s)
	b.open("/users/new")
	b.do("go to the name", chromedp.Focus(chromedp.CSS("#name")))
	b.do("type and go on", chromedp.KeyEvent(newName()+"\t"))
	b.is(`document.activeElement.name === "admin"`)
	b.do("choose", chromedp.KeyEvent(" \t"))
	b.is(`document.querySelector("[name=admin]").checked && document.activeElement.tagName === "SUMMARY"`)
	b.do("unfold", chromedp.KeyEvent("\r\t"))
	b.is(`document.activeElement.id === "connections"`)
	b.do("a limit, and send", chromedp.KeyEvent("9\r"))
	b.see("The user is made.", "administrator")
}
