package contrib

import (
	"debug/elf"
	"debug/macho"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestReleaseIsStaticBinariesForFourTargets builds what .goreleaser.yaml says, with its flags: goreleaser itself takes
// longer to build than all the rest of this.
func TestReleaseIsStaticBinariesForFourTargets(t *testing.T) {
	if testing.Short() {
		t.Skip("four builds take a minute")
	}
	var release struct {
		Version int
		Builds  []struct {
			Main, Binary                      string
			Env, Goos, Goarch, Flags, Ldflags []string
		}
		Archives []struct{ Files []string }
		Checksum struct{ Algorithm string }
	}
	load(t, "../.goreleaser.yaml", &release)
	if release.Version != 2 || len(release.Builds) != 1 || len(release.Archives) != 1 || release.Checksum.Algorithm != "sha256" {
		t.Fatalf("%+v", release)
	}
	build := release.Builds[0]
	if want := []string{"linux", "darwin"}; !slices.Equal(build.Goos, want) || !slices.Equal(build.Goarch, []string{"amd64", "arm64"}) {
		t.Errorf("it is for %v, %v", build.Goos, build.Goarch)
	}
	for _, file := range release.Archives[0].Files {
		if info, err := os.Stat(filepath.Join("..", file)); err != nil || !info.Mode().IsRegular() {
			t.Errorf("an archive is to hold %s: %v", file, err)
		}
	}
	for _, must := range []string{"kugetsu.1", "kugetsu.bash", "_kugetsu", "kugetsu.fish"} {
		if !slices.Contains(release.Archives[0].Files, "contrib/shell/"+must) {
			t.Errorf("no archive holds %s", must)
		}
	}
	for _, goos := range build.Goos {
		for _, arch := range build.Goarch {
			file := filepath.Join(t.TempDir(), build.Binary)
			// Without a repository around there is no commit to name.
			flags := slices.DeleteFunc(slices.Clone(build.Flags), func(f string) bool { return strings.HasPrefix(f, "-buildvcs") })
			args := slices.Concat([]string{"build", "-o", file, "-ldflags", strings.Join(build.Ldflags, " ")}, flags, []string{build.Main})
			cmd := exec.Command("go", args...)
			cmd.Dir = ".."
			cmd.Env = append(append(os.Environ(), build.Env...), "GOOS="+goos, "GOARCH="+arch)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s/%s: %v\n%s", goos, arch, err, out)
				continue
			}
			static(t, goos, arch, file)
		}
	}
}

// static makes sure that a program is of its target, and, on Linux, asks for no interpreter and no library. (macOS has no
// static programs; there its own system library is all that may be asked for.)
func static(t *testing.T, goos, arch, file string) {
	t.Helper()
	if goos == "linux" {
		f, err := elf.Open(file)
		if err != nil {
			t.Errorf("%s/%s: %v", goos, arch, err)
			return
		}
		defer f.Close()
		libs, err := f.ImportedLibraries()
		interpreted := slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP })
		want := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}[arch]
		if f.Machine != want || interpreted || len(libs) > 0 || err != nil && err != elf.ErrNoSymbols {
			t.Errorf("%s/%s: %v, interpreter %t, libraries %v, %v", goos, arch, f.Machine, interpreted, libs, err)
		}
		return
	}
	f, err := macho.Open(file)
	if err != nil {
		t.Errorf("%s/%s: %v", goos, arch, err)
		return
	}
	defer f.Close()
	libs, err := f.ImportedLibraries()
	foreign := slices.ContainsFunc(libs, func(l string) bool {
		return !strings.HasPrefix(l, "/usr/lib/") && !strings.HasPrefix(l, "/System/Library/")
	})
	want := map[string]macho.Cpu{"amd64": macho.CpuAmd64, "arm64": macho.CpuArm64}[arch]
	if f.Cpu != want || foreign || err != nil {
		t.Errorf("%s/%s: %v, libraries %v, %v", goos, arch, f.Cpu, libs, err)
	}
}
