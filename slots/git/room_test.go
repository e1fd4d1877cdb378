package git

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Git is looked up in one place, and started in one, Runner.exec. That is called where git is given a private git directory, where
// configuration is read as data, and for git's version. New code calls Private.Run.
func TestGitIsStartedInOneRoom(t *testing.T) {
	callers := []string{"Private.Run", "Runner.userConfig", "Runner.ReadConfig", "Runner.Version"}
	finders := []string{"Runner.exec", "Runner.Installed"}
	var started, called, found []string
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "contrib" || d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".git")) {
			return fs.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			ast.Inspect(f, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				here := filepath.Base(filepath.Dir(path)) == "git"
				if id, ok := call.Fun.(*ast.Ident); ok && here && id.Name == "program" {
					found = append(found, name(f))
				}
				sel, ok := call.Fun.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				switch sel.Sel.Name {
				case "Command", "CommandContext", "LookPath", "StartProcess":
					for _, arg := range call.Args {
						lit, ok := arg.(*ast.BasicLit)
						if !ok {
							continue
						}
						if s, err := strconv.Unquote(lit.Value); err == nil && filepath.Base(s) == "git" {
							started = append(started, name(f))
						}
					}
				case "exec":
					if here {
						called = append(called, name(f))
					}
				}
				return true
			})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if slices.Sort(found); !slices.Equal(found, slices.Sorted(slices.Values(finders))) {
		t.Errorf("git is asked for in %q", found)
	}
	if !slices.Equal(started, []string{"program"}) {
		t.Errorf("git is looked up or started in %q", started)
	}
	for _, c := range called {
		if !slices.Contains(callers, c) {
			t.Errorf("%s calls Runner.exec: Private.Run is for that", c)
		}
	}
	if len(called) < len(callers) {
		t.Errorf("calls of Runner.exec: %q", called)
	}
}

// name is the name of a function, with the type of its receiver.
func name(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return f.Name.Name
	}
	of := f.Recv.List[0].Type
	if star, ok := of.(*ast.StarExpr); ok {
		of = star.X
	}
	return of.(*ast.Ident).Name + "." + f.Name.Name
}
