"""Small weights that this project trained itself; see the model cards."""
