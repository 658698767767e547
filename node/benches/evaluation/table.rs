//! Tables, as plain text or Markdown.

/// Rows of texts under a header.
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(header: &[&str]) -> Self {
        Self { rows: vec![header.iter().map(|cell| (*cell).to_owned()).collect()] }
    }

    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.to_vec());
    }

    /// Prints it under `title`.
    pub fn print(&self, title: &str, markdown: bool) {
        if markdown {
            println!("\n{title}\n");
            for (index, row) in self.rows.iter().enumerate() {
                println!("| {} |", row.join(" | "));
                if index == 0 {
                    println!("|{}", "---|".repeat(row.len()));
                }
            }
            return;
        }
        println!("\n{title}");
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &self.rows {
            let cells = row.iter().zip(&widths).enumerate().map(|(index, (cell, width))| {
                if index == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
            });
            println!("  {}", cells.collect::<Vec<_>>().join("  "));
        }
    }
}

/// Milliseconds with three digits that mean something.
pub fn ms(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{value:.0} ms"),
        value if value >= 10.0 => format!("{value:.1} ms"),
        value if value >= 0.1 => format!("{value:.2} ms"),
        value => format!("{:.0} µs", value * 1e3),
    }
}
