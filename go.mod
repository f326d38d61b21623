module github.com/tinydevcrm/tinydevcrm

go 1.26
