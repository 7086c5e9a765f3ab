"""What runs the graphs of a model folder: one file per engine, behind one interface (`engine`)."""
