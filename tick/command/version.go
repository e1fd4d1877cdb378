package command

// Version prints what this is.
type Version struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// Help is its long help.
func (*Version) Help() string {
	return longHelp(`
The command prints the release, or the commit that kugetsu was built from.`,
		codes{0: "printed"},
		"kugetsu version",
		"kugetsu version --json")
}

// Run prints the version.
func (c *Version) Run(a *App) error {
	if c.JSON {
		return a.printJSON(map[string]string{"version": a.Version})
	}
	return a.print("kugetsu %s\n", a.Version)
}
