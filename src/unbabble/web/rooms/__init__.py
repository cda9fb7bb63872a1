"""One file per room of the site: its pages and the calls behind them."""
