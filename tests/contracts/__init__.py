"""What every store has to do: mixins for the tests of a store, written against the interfaces alone."""
