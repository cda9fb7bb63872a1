"""How networks learn: recipes, the loop, its data sets, one person's enhancer."""
