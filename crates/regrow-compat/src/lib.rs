//! Uses regrow where somebody else has turned on features of ractor: there is nothing here but tests.
