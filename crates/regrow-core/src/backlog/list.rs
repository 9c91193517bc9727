//! Lists whose links lie in what they hold: whoever is in one leaves it in O(1), from wherever it stands, and nothing stale is left.

/// No place.
pub(super) const NIL: u32 = u32::MAX;

/// Who stands before and behind, in one list.
#[derive(Clone, Copy, Debug)]
pub(super) struct Links {
    before: u32,
    behind: u32,
}

impl Links {
    /// Of what is in no list, or alone in one.
    pub(super) const NONE: Self = Self {
        before: NIL,
        behind: NIL,
    };

    /// Who stands behind; [`NIL`] is nobody.
    pub(super) const fn behind(self) -> u32 {
        self.behind
    }
}

/// The two ends of a list of places in an arena. One arena may have several; each has its own links in what the arena holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct List {
    pub(super) first: u32,
    pub(super) last: u32,
}

impl List {
    pub(super) const EMPTY: Self = Self {
        first: NIL,
        last: NIL,
    };

    #[inline]
    pub(super) const fn is_empty(self) -> bool {
        self.first == NIL
    }

    /// Adds one that is not in it.
    #[inline]
    pub(super) fn push<S>(&mut self, at: u32, arena: &mut [S], links: fn(&mut S) -> &mut Links) {
        *links(&mut arena[at as usize]) = Links {
            before: self.last,
            behind: NIL,
        };
        if self.last == NIL {
            self.first = at;
        } else {
            links(&mut arena[self.last as usize]).behind = at;
        }
        self.last = at;
    }

    /// Takes one out that is in it.
    #[inline]
    pub(super) fn remove<S>(&mut self, at: u32, arena: &mut [S], links: fn(&mut S) -> &mut Links) {
        let Links { before, behind } = *links(&mut arena[at as usize]);
        if before == NIL {
            self.first = behind;
        } else {
            links(&mut arena[before as usize]).behind = behind;
        }
        if behind == NIL {
            self.last = before;
        } else {
            links(&mut arena[behind as usize]).before = before;
        }
    }

    /// The first is the last from now on.
    #[inline]
    pub(super) fn rotate<S>(&mut self, arena: &mut [S], links: fn(&mut S) -> &mut Links) {
        let first = self.first;
        if first != self.last {
            self.remove(first, arena, links);
            self.push(first, arena, links);
        }
    }
}
