/*
 * What goes wrong: deaths, broken connections, hangs, each at any step and as often as the options say; and the check
 * of how a run ended.
 */

/* rows and columns of the failure table: what a death struck, and when */
#define strikesNobody 0
#define strikesSource 1        /* the owner */
#define strikesSuccessor 2     /* a claimant, a candidate, or an old owner on its way out */
#define strikesRegistry 3
#define inIdle 0               /* before staged, and committed: the owner's death is any VMM's death */
#define inStaged 1
#define inClaimed 2
#define inReceived 3
#define inTookBack 4
#define inOutcome 5
inline strike(what) {
  if
  :: TABLE ->
       struck = what;
       struckColumn = (settled -> inOutcome : (stance[owner]==tookBack -> inTookBack :
         (phase==idle -> inIdle : (phase==staged -> inStaged :
         (claimant!=NOBODY && (stance[claimant]==received || stance[claimant]==restored) -> inReceived :
         (IS_VM(context) && WAY!=none && HOME(context)!=owner -> inReceived : inClaimed))))))
  :: else
  fi
}

inline crash(p) {
  strike((p==owner -> strikesSource : strikesSuccessor)); crashesDone++;
  printf("*** %d dies, stance %e, phase %e\n", p, stance[p], phase);
  die(p, mayCrash(p))
}

inline crashRegistry() {
  strike(strikesRegistry); crashesDone++; printf("*** the registry dies, phase %e\n", phase);
  registryUp = 0; connected[S] = 0; connected[A] = 0; connected[B] = 0; heard = 0;
  dropToRegistry(S); dropToRegistry(A); dropToRegistry(B);
  vmRefs[HANDS] = 0; vmRefs[WIRE(S)] = 0; vmRefs[WIRE(A)] = 0; vmRefs[WIRE(B)] = 0;
  bundle = bundle & (BIT(S)|BIT(A)|BIT(B)|BIT(STORE));
  forgetAttempt(); candidate = NOBODY; waiting = 0; releaseDue = 0; runDue = 0; runConfirmed = 0;
  parkDue = 0;
  collect((settled || !alive[owner]))
}

inline breakConnection(p) {                            /* R2 */
  crashesDone++; printf("*** the connection of %d breaks\n", p);
  connected[p] = 0; heard = heard & ~BIT(p);
  if :: p==owner -> runConfirmed = 0; takeBackSent = 0; parkDue = 0 :: else fi;
  dropToRegistry(p); dropFromRegistry(p); vmRefs[WIRE(p)] = 0; bundle = bundle & ~BIT(WIRE(p));
  collect(false)
}

/* an operator must help: the owner hangs, or a claimant hangs that nothing may end */
#define alarm ((has(hung,owner) && (phase==idle || phase==rollback || (letGo && nothingLeft))) \
  || (claimant!=NOBODY && has(hung,claimant) && (phase==claimed || phase==rollback) \
      && (WAY==token || (WAY==move && !CUSTODY))))
/* the guest waits in custody for a successor */
#define parked (phase==staged && !alive[owner] && registryHas && !works(A) && !works(B))

/* a parked guest may have lost its last successor: the baton given back, or died */
#define goesOn (executing!=0 || (PARK!=0 && parked))

inline checkTable() {
  if
  :: struck==strikesSource && struckColumn==inIdle ->
       assert(phase==ended || executing!=0 || parked || (!CUSTODY && phase==lost))   /* P4 */
  :: struck==strikesSource && (struckColumn==inStaged || struckColumn==inClaimed) && (CUSTODY || WAY==move) ->
       assert(phase==idle || parked)                                                   /* P4 */
  :: struck==strikesSource && struckColumn==inReceived ->
       assert(executing!=0 || (WAY==none && (parked || (!CUSTODY && phase==lost))))   /* P4 */
  :: struck==strikesSuccessor && (struckColumn<=inClaimed || struckColumn==inTookBack) ->
       assert(goesOn)                                                                  /* P4 */
  :: struck==strikesSuccessor && struckColumn==inReceived && (WAY==none || (WAY==move && CUSTODY)) ->
       assert(goesOn)                                                                  /* P4 */
  :: struck==strikesRegistry -> assert(goesOn)                                          /* P4 */
  :: struck==strikesNobody && hangsDone==0 -> assert(goesOn)                             /* P4 */
  :: else
  fi
}

#define mayDie(p)   (alive[p])
#define mayBreak(p) (connected[p])
#define mayHang(p)  (works(p) && stance[p]!=running)
#define isEnded(p)  (has(sentenced,p) && alive[p])

proctype environment() {
  byte p;
end:
  do
  :: atomic { !quiet && crashesDone<CRASHES && (mayDie(S) || mayDie(A) || mayDie(B)) ->
       if :: mayDie(S) -> p = S :: mayDie(A) -> p = A :: mayDie(B) -> p = B fi;
       crash(p); p = 0 }
  :: atomic { !quiet && crashesDone<CRASHES && registryUp -> crashRegistry() }
  :: atomic { !quiet && crashesDone<CRASHES && registryUp && (mayBreak(S) || mayBreak(A) || mayBreak(B)) ->
       if :: mayBreak(S) -> p = S :: mayBreak(A) -> p = A :: mayBreak(B) -> p = B fi;
       breakConnection(p); p = 0 }
  :: atomic { !quiet && hangsDone<HANGS && (mayHang(S) || mayHang(A) || mayHang(B)) ->
       if :: mayHang(S) -> p = S :: mayHang(A) -> p = A :: mayHang(B) -> p = B fi;
       hangsDone++; hung = hung | BIT(p); printf("*** %d hangs\n", p); p = 0 }
  :: atomic { isEnded(S) || isEnded(A) || isEnded(B) ->
       if :: isEnded(S) -> p = S :: isEnded(A) -> p = A :: isEnded(B) -> p = B fi;
       printf("%d is ended by the fence\n", p); die(p, mayEnd); p = 0 }
  :: atomic { !quiet && crashesDone+hangsDone<CRASHES+HANGS -> quiet = 1 }
  :: atomic { timeout ->
       printf("END: phase %e, owner %d, executing %d, context %d\n", phase, owner, executing, context);
       assert((phase==idle && alive[owner] && has(executing,owner)) || settled || parked || alarm);   /* P5 */
       if
       :: phase==idle && has(executing,owner) ->
            assert(vmRefs[HANDS]==0 && vmRefs[STORE]==0 && !registryHas);                             /* P8 */
            assert(vmRefs[WIRE(S)]==0 && vmRefs[WIRE(A)]==0 && vmRefs[WIRE(B)]==0);                 /* P8 */
            assert((owner==S || !alive[S]) && (owner==A || !alive[A]) && (owner==B || !alive[B]))   /* P8 */
       :: settled ->
            assert(vmRefs[STORE]==0 && vmRefs[HANDS]==0 && !registryHas);                           /* P8 */
            assert(!alive[S] && !alive[A] && !alive[B])                                             /* P8 */
       :: else
       fi;
       if :: TABLE -> checkTable() :: else fi;
       break }
  od
}
