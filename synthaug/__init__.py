"""synthaug: does synthetic data help my classifier, by how much, and where is the set I can use?"""
