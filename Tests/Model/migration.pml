/* One migration of one guest between two hosts: what both registries, both VMMs, the link between them and the
 * operators do about its commit. RULES.md explains R70 to R86; `check --migration` runs it.
 *
 * CRASHES      deaths of a registry (it comes back with its journal), of a VMM, broken connections: so many in all
 * LOSSES       of these so many may take a registry's journal along
 *
 * Q1  never two VMMs that run the guest
 * Q2  the target runs only what its registry's journal gives it, and only what the source's had given up before
 * Q3  a receipt is in nobody's hands but the source's before the source's registry gave the guest up
 * Q4  where nobody died too early or too late, and no journal was lost, somebody runs the guest at the end
 */
#ifndef CRASHES
#define CRASHES 2
#endif
#ifndef LOSSES
#define LOSSES 0
#endif
#ifndef MUTATION
#define MUTATION 0
#endif

/* What is done wrong to show that the properties bite. */
#define M_RECEIPT_EARLY 1     /* the source hands the receipt over before it is released */
#define M_RUN_ON 2            /* the source runs on by itself when the link breaks, whatever it has said */
#define M_RUN_ALONE 3         /* the target runs as soon as it has a receipt */
#define M_ANY_RECEIPT 4       /* the target's registry takes any receipt */
#define M_KEEP_RECEIPT 5      /* the source's registry gives the receipt of a migration that stayed */
#define M_DROP_DEPARTED 6     /* the departure is not written down before it is answered */
#define M_DROP_DEPARTING 7    /* the permission to depart is not written down before it is given */
#define M_DEATH_IS_END 8      /* a source that dies while it departs takes the guest along */
#define M_NO_SETTLE 9         /* no operator ever asks the other side */

mtype = { idle, departing, departed, over, none, arriving, arrived, owned };
mtype = { running, asking, permitted, sent, staying, left, dead, fresh, received, complete };
mtype = { Hello, Departing, Departed, Stays, Confirmed, Migrate, Depart, Run, Release, Arrived, Receipt, All, Ready, Preamble };

/* The source's registry: what it knows and what is written. `knows`: it has the receipt. */
mtype a = idle, ja = idle;
bool knows = true, jknows = true, stayed, jstayed, confirmed, ordered, sawdeath;
/* The target's. */
mtype b = none, jb = none;
bool seenT;
/* The VMMs. `has`: the VMM has the receipt. */
mtype s = running, t = fresh;
bool hasS, hasT;
/* Connections and the link. */
chan sa = [3] of { mtype, mtype }; chan as = [3] of { mtype };
chan tb = [3] of { mtype, mtype, bool }; chan bt = [3] of { mtype };
chan st = [2] of { mtype }; chan ts = [2] of { mtype };
bool linkS = true, linkT = true, link = true, upA = true, upB = true;
byte crashes = CRASHES, losses = LOSSES;
/* For the properties. */
bool gone, excused, lostA, lostB;

#define drain(c) do :: len(c) > 0 -> c?_ :: len(c) == 0 -> break od

inline writeA() { ja = a; jknows = knows; jstayed = stayed; if :: a == departed -> gone = true :: else fi }
inline check() {
  assert(!(s == running && t == running));                                          /* Q1 */
  assert(t != running || gone);                                                     /* Q2 */
  assert(t != running || jb == owned || lostB);                                     /* Q2 */
  assert(!hasT || gone);              /* Q3 */
}
inline toS(m) { if :: linkS && len(as) < 3 -> as!m :: else fi }
inline toT(m) { if :: linkT && len(bt) < 3 -> bt!m :: else fi }

/* R77, R75 */
inline depart() { a = departed; if :: MUTATION != M_DROP_DEPARTED -> writeA() :: else fi; toS(Release) }
/* R78 */
inline stay() { a = idle; stayed = true; if :: MUTATION != M_KEEP_RECEIPT -> knows = false :: else fi; writeA(); toS(Run) }
/* R73, R74 */
inline permit() {
  if
  :: a == idle && knows && !stayed ->
     a = departing; if :: MUTATION != M_DROP_DEPARTING -> writeA() :: else fi; toS(Depart)
  :: a == idle && (!knows || stayed) -> stay()
  :: a == departing -> toS(Depart)
  :: a == departed -> toS(Release)
  :: else
  fi
}
inline hearA(m, where) {
  if
  :: m == Hello && where == running -> skip
  :: (m == Hello && where == asking) || m == Departing -> permit()
  :: m == Hello && where == permitted ->
     if :: a == departing -> toS(Depart) :: a == departed -> toS(Release)
        :: a == idle -> permit() :: else fi
  :: (m == Hello && where == sent) || m == Departed ->
     if :: a == departing -> depart() :: a == departed -> toS(Release)
        :: a == idle && MUTATION == M_DROP_DEPARTING -> skip :: else fi
  :: (m == Hello && where == staying) || m == Stays ->
     if :: a == departing || a == idle -> stay() :: a == departed -> toS(Release) :: else fi
  :: m == Confirmed -> if :: a == departed -> confirmed = true; knows = false; writeA() :: else fi
  fi
}
/* R83, R86: `fits` says that it is the right receipt. */
inline bring(fits) {
  if
  :: !fits && MUTATION != M_ANY_RECEIPT -> skip
  :: else ->
     if :: b == arrived -> b = owned; jb = b; toT(Run) :: b == owned -> toT(Run) :: else fi
  fi
}
inline hearB(m, where, fits) {
  if
  :: m == Hello ->
     if
     :: b == none && where == arriving -> b = arriving; jb = b
     :: (b == none || b == arriving) && where == arrived -> b = arrived; jb = b
     :: b == owned && where == running -> skip
     :: b == none && where == running -> b = owned; jb = b
     :: b == owned && where == arrived -> toT(Run)
     :: b == over -> toT(Release)
     :: else
     fi
  :: m == Arrived -> if :: b == arriving -> b = arrived; jb = b :: else fi
  :: m == Receipt -> bring(fits)
  fi
}
inline helloS() {
  drain(as); do :: len(sa) > 0 -> sa?_,_ :: len(sa) == 0 -> break od;
  linkS = true; ordered = false;
  if :: s == running || s == asking || s == permitted || s == sent || s == staying -> sa!Hello(s) :: else fi
}
inline helloT() {
  drain(bt); do :: len(tb) > 0 -> tb?_,_,_ :: len(tb) == 0 -> break od;
  linkT = true;
  if
  :: t == received -> tb!Hello(arriving, false)
  :: t == complete -> tb!Hello(arrived, false); if :: hasT -> tb!Receipt(arrived, true) :: else fi
  :: t == running -> tb!Hello(running, false)
  :: else
  fi
}
inline cutS() { linkS = false; drain(as); do :: len(sa) > 0 -> sa?_,_ :: len(sa) == 0 -> break od }
inline cutT() { linkT = false; drain(bt); do :: len(tb) > 0 -> tb?_,_,_ :: len(tb) == 0 -> break od }
inline cut() { link = false; drain(st); drain(ts) }

active proctype world() {
  mtype m, where; bool fits;
  do
  /* The source asks the target, which receives everything (one step each: the copying decides nothing). */
  :: atomic { s == running && !stayed && knows && link && t == fresh && len(st) == 0 && a == idle -> t = received; st!All; helloT() }
  :: atomic { len(st) > 0 -> st?m;
     if
     :: m == All && t == received -> t = complete; if :: linkT && len(tb) < 3 -> tb!Arrived(arrived, false) :: else fi;
        if :: len(ts) < 2 -> ts!Ready :: else fi
     :: m == Receipt && t == complete -> hasT = true; if :: linkT && len(tb) < 3 -> tb!Receipt(arrived, true) :: else fi;
        if :: MUTATION == M_RUN_ALONE -> t = running :: else fi
     :: else
     fi; check(); m = 0 }
  :: atomic { len(ts) > 0 -> ts?m;
     if
     :: m == Ready && s == running && link -> s = asking; if :: linkS && len(sa) < 3 -> sa!Departing(asking) :: else fi
     :: m == Run && s == left -> if :: linkS && len(sa) < 3 -> sa!Confirmed(left) :: else fi
     :: else
     fi; m = 0 }
  /* The source's VMM and its registry. */
  :: atomic { upA && len(sa) > 0 -> sa?m,where; hearA(m, where); check(); m = 0; where = 0 }
  :: atomic { len(as) > 0 && s != dead -> as?m;
     if
     :: m == Depart && s == asking -> s = permitted; hasS = true;
        if :: MUTATION == M_RECEIPT_EARLY && link && len(st) < 2 -> st!Receipt :: else fi
     :: m == Depart && s == sent -> if :: linkS && len(sa) < 3 -> sa!Departed(sent) :: else fi
     :: m == Depart && s == staying -> if :: linkS && len(sa) < 3 -> sa!Stays(staying) :: else fi
     :: m == Run && (s == asking || s == staying) -> s = running
     :: m == Release && s == sent -> s = left; if :: link && len(st) < 2 -> st!Receipt :: else fi
     :: m == Release && (s == asking || s == permitted || s == staying) -> s = dead
     :: else
     fi; check(); m = 0 }
  :: atomic { s == permitted -> s = sent; if :: linkS && len(sa) < 3 -> sa!Departed(sent) :: else fi }
  :: atomic { s == permitted && crashes > 0 -> crashes--; s = staying; if :: linkS && len(sa) < 3 -> sa!Stays(staying) :: else fi }
  :: atomic { !link && s == asking -> s = staying; if :: linkS && len(sa) < 3 -> sa!Stays(staying) :: else fi }
  :: atomic { !link && MUTATION == M_RUN_ON && (s == permitted || s == sent) -> s = running; check() }
  :: atomic { upA && !linkS && s != dead && s != left -> helloS() }
  /* Its death is seen when all that it had said was heard (R75). */
  :: atomic { upA && s == dead && len(sa) == 0 && !sawdeath && !(lostA && a == none) -> sawdeath = true;
     if
     :: a == departing && MUTATION != M_DEATH_IS_END -> depart()
     :: a == departing && MUTATION == M_DEATH_IS_END -> a = over; writeA()
     :: a == idle -> a = over; knows = false; stayed = true; writeA()
     :: else
     fi; check() }
  /* The target's VMM and its registry. */
  :: atomic { upB && len(tb) > 0 -> tb?m,where,fits; hearB(m, where, fits); check(); m = 0; where = 0; fits = false }
  :: atomic { len(bt) > 0 && t != dead -> bt?m;
     if
     :: m == Run && t == complete -> t = running; if :: link && len(ts) < 2 -> ts!Run :: else fi
     :: m == Release -> t = dead
     :: else
     fi; check(); m = 0 }
  :: atomic { upB && !linkT && (t == received || t == complete || t == running) -> helloT() }
  :: atomic { !link && t == received -> t = dead; cutT() }
  :: atomic { upB && t == dead && len(tb) == 0 && !seenT -> seenT = true;
     if :: b == arriving || b == arrived -> b = over; jb = b :: else fi }
  /* Operators: they ask the other side, whenever they like. */
  :: atomic { MUTATION != M_NO_SETTLE && upA && upB && b == arrived && knows &&
       (a == departed || (MUTATION == M_KEEP_RECEIPT && stayed)) -> bring(true); check() }
  :: atomic { MUTATION != M_NO_SETTLE && upA && upB && (b == arriving || b == arrived) && stayed && a != departed && !gone &&
       MUTATION != M_KEEP_RECEIPT -> b = over; jb = b; toT(Release) }
  :: atomic { upA && upB && a == departed && b == owned && !confirmed -> confirmed = true; knows = false; writeA() }
  /* Somebody shows a receipt that is none. */
  :: atomic { crashes > 0 && t == complete && linkT && len(tb) < 3 -> crashes--; tb!Receipt(arrived, false) }
  /* Faults. */
  :: atomic { crashes > 0 && link -> crashes--; cut() }
  :: atomic { crashes > 0 && linkS && s != dead -> crashes--; cutS() }
  :: atomic { crashes > 0 && linkT -> crashes--; cutT() }
  :: atomic { crashes > 0 && s != dead -> crashes--;
     if :: !gone && (s == staying || a != departing && ja != departing) -> excused = true :: else fi;
     s = dead; cut(); drain(as) }
  :: atomic { crashes > 0 && t != dead && t != fresh -> crashes--; if :: gone || t == complete || t == running -> excused = true :: else fi;
     t = dead; cut(); drain(bt) }
  :: atomic { crashes > 0 -> crashes--; cutS();
     if
     :: losses > 0 -> losses--; lostA = true; excused = true; ja = none
     :: skip
     fi;
     a = ja; knows = jknows; stayed = jstayed; sawdeath = false;
     /* Without a journal the source's first record says what there was. */
     if
     :: a == none && (s == running || s == asking || s == staying) -> a = idle; knows = false; stayed = true; writeA()
     :: a == none && s == permitted -> a = departing; knows = true; writeA()
     :: a == none && (s == sent || s == left) -> a = departed; knows = true; writeA()
     :: else
     fi }
  :: atomic { crashes > 0 -> crashes--; cutT();
     if
     :: losses > 0 -> losses--; lostB = true; excused = true; jb = none
     :: skip
     fi;
     b = jb; seenT = false }
  /* Nothing more can happen. */
  :: timeout -> break
  od;
  assert(excused || s == running || t == running);                                  /* Q4 */
  assert(excused || t != running || confirmed || s == dead || a == departed)        /* Q4 */
}
