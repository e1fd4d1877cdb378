package terminal

import (
	"io"
	"slices"
	"strings"
)

// gap stands between two columns.
const gap = "  "

// Column is a column of a table, and how it gives way where a terminal is too narrow for all.
type Column struct {
	Name string
	// Gives is the order in which columns are made narrower: 1 first. A column of 0 keeps its width.
	Gives int
	// Short is a shorter form of a cell, used after the column that gives first; nil for none.
	Short func(cell string) string
	// Ends says that a cell is cut in its middle: see FitEnds.
	Ends bool
	// Drops says that the column is left out before any other column becomes too narrow for a reader.
	Drops bool
}

const (
	useful = 16 // width at which a cut cell still says something
	least  = 6  // width that a cut cell has at least
)

// Table is rows of cells, cleaned as they are written.
type Table struct {
	Columns []Column
	Rows    [][]string
}

// Write writes the table with its heading, for a terminal of so many columns; 0: nothing is cut. It writes nothing for a table
// without rows.
func (t Table) Write(w io.Writer, width int) error {
	if len(t.Rows) == 0 {
		return nil
	}
	rows := make([][]string, 1, len(t.Rows)+1)
	for _, c := range t.Columns {
		rows[0] = append(rows[0], c.Name)
	}
	for _, row := range t.Rows {
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = Clean(cell)
		}
		rows = append(rows, cells)
	}
	l := layout{columns: slices.Clone(t.Columns), rows: rows}
	l.measure()
	if width > 0 {
		l.fit(width)
	}
	_, err := io.WriteString(w, l.text(width))
	return err
}

// layout is a table that is being made to fit.
type layout struct {
	columns []Column
	rows    [][]string // with the heading
	widths  []int      // of each column
}

func (l *layout) measure() {
	l.widths = make([]int, len(l.columns))
	for _, row := range l.rows {
		for i, cell := range row {
			l.widths[i] = max(l.widths[i], Width(cell))
		}
	}
}

// over is the number of columns of the terminal by which the table is too wide.
func (l *layout) over(width int) int {
	all := len(gap) * (len(l.widths) - 1)
	for _, n := range l.widths {
		all += n
	}
	return all - width
}

// fit makes the table narrower, only as far as needed. First it cuts the columns of order 1, then it uses the short forms, then it
// cuts the other columns in their order, then it leaves out those that may be dropped. Last it cuts the columns again, down to
// least.
func (l *layout) fit(width int) {
	l.narrow(width, 1, useful)
	if l.over(width) > 0 {
		for i, c := range l.columns {
			for _, row := range l.rows[1:] {
				if c.Short != nil {
					row[i] = c.Short(row[i])
				}
			}
		}
		l.measure()
		l.narrow(width, 1, useful)
	}
	for order := 2; order <= len(l.columns); order++ {
		l.narrow(width, order, useful)
	}
	for i := len(l.columns) - 1; i >= 0 && l.over(width) > 0; i-- {
		if l.columns[i].Drops {
			l.drop(i)
		}
	}
	for order := 1; order <= len(l.columns); order++ {
		l.narrow(width, order, least)
	}
}

// narrow cuts the columns of this order by the width that is over, but none below least.
func (l *layout) narrow(width, order, least int) {
	for i, c := range l.columns {
		if over := l.over(width); c.Gives == order && over > 0 && l.widths[i] > least {
			l.widths[i] = max(least, l.widths[i]-over)
		}
	}
}

func (l *layout) drop(i int) {
	l.columns, l.widths = slices.Delete(l.columns, i, i+1), slices.Delete(l.widths, i, i+1)
	for n := range l.rows {
		l.rows[n] = slices.Delete(l.rows[n], i, i+1)
	}
}

// text is the table, in which no line has a blank at its end and none is wider than width, if that is not 0.
func (l *layout) text(width int) string {
	var b strings.Builder
	for _, row := range l.rows {
		line := ""
		for i, cell := range row {
			if l.columns[i].Ends {
				cell = FitEnds(cell, l.widths[i])
			} else {
				cell = Fit(cell, l.widths[i])
			}
			line += cell + strings.Repeat(" ", l.widths[i]-Width(cell)) + gap
		}
		line = strings.TrimRight(line, " ")
		if width > 0 {
			line = Fit(line, width)
		}
		b.WriteString(line + "\n")
	}
	return b.String()
}
