// Package page tries the page of kugetsu in a real browser: how it looks, and that it is whole without script, on a small screen,
// for those who hear it, and whatever an agent wrote. It has tests alone. night-*.png are the page of night_test.go; they are
// made anew by
//
//	CHROMIUM=/usr/bin/chromium NODE_MODULES=... go test ./contrib/page -keep
package page
