package command

// Version prints what this is.
type Version struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// Run prints the version.
func (c *Version) Run(a *App) error {
	if c.JSON {
		return a.printJSON(map[string]string{"version": a.Version})
	}
	return a.print("kugetsu %s\n", a.Version)
}
