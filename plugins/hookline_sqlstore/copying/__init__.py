"""The copy of one database into another one: reading all tables of the one, and filling those of the other."""
