"""What commands show people: tables, plots, and the HTML report."""
