module kugetsu

go 1.26.0

require (
	github.com/alecthomas/kong v1.17.0
	github.com/compose-spec/compose-go/v2 v2.16.2
	github.com/gofrs/flock v0.13.1
	github.com/lmittmann/tint v1.2.1
	github.com/mattn/go-isatty v0.0.24
	github.com/natefinch/atomic v1.0.1
	github.com/oklog/ulid/v2 v2.1.2
	golang.org/x/sys v0.49.0
	pgregory.net/rapid v1.3.0
)

require github.com/dustin/go-humanize v1.1.0

require golang.org/x/net v0.62.0

require github.com/rivo/uniseg v0.4.7

require golang.org/x/term v0.47.0

require (
	github.com/rogpeppe/go-internal v1.16.0
	github.com/sirupsen/logrus v1.10.1 // indirect
	golang.org/x/tools v0.26.0 // indirect
)
