/*
 * What the VMMs and the registry know.
 */

/* ---- a VMM: its stance, and the handoff and epoch it belongs to ---- */
mtype stance[3];
byte itsHandoff[3];
byte itsEpoch[3];

/* ---- the registry: what it journals ---- */
byte owner = S;
byte epoch = 1;
mtype phase = idle;
byte handoff = 0;            /* Numbers: never reused                                            */
byte claimant = NOBODY;
bit letGo;                   /* parked: the owner of what is staged was released                 */
byte stagedVM = 0;           /* way move: the source's VM that was staged                        */

/* ---- the journal: survives everything ---- */
byte diskOwner = S, diskEpoch = 1, diskHandoff = 0, diskClaimant = NOBODY, diskStagedVM = 0;
mtype diskPhase = idle;
bit diskLetGo;

/* ---- forgotten when the registry dies ---- */
mtype step = noStep;         /* within idle: freezing, aborting                                  */
bit parkDue;                 /* the owner asked to be parked                                     */
bit parking;                 /* the attempt under way has no candidate: the owner is to be parked */
byte candidate = NOBODY;     /* who is to claim next                                             */
byte waiting;                /* attached successors that are not the candidate                   */
byte releaseDue;             /* who is to be told `release`                                      */
bit mayClaim;                /* the claimant is known not to have the claim                      */
bit claimSent;               /* the claim was put on the wire                                    */
bit claimAfterDeath;         /* the owner was already seen dead then                             */
bit takeBackSent;
bit takeBackComplete;        /* the claimant was already gone when takeBack was sent             */
bit usedSaid;                /* the source answered takeBack with `used`                         */
bit runDue;
bit runConfirmed;            /* `running(epoch)` or `resumed` answered the verdict               */

#define settled (phase==lost || phase==ended)

/* ---- the observer: no process reads these ---- */
byte batonWith;              /* claimants that hold the baton                                    */
byte receivedTimes[3];       /* by handoff                                                       */
byte stagedUnsettled;        /* handoff whose `staged` was processed and that has no outcome yet */
byte crashesDone, hangsDone, slowDone, parksDone;
byte struck;                 /* TABLE: what the last death struck                                */
byte struckColumn;           /* and in which column of the failure table                         */
bit quiet;                   /* the environment will do nothing more                             */

/* P4: what a death may destroy, by the failure table */
#define mayCrash(p) (settled || (phase==idle && (owner==p || !alive[owner])) || (!CUSTODY && p==owner) \
  || (WAY==token && IS_VM(context) && HOME(context)==p) \
  || (WAY==move && !CUSTODY && IS_VM(context) && HOME(context)==p) \
  || (!CUSTODY && !alive[owner]))
/* P4: what an exit on `release` or a fence may destroy */
#define mayEnd (settled || (phase==idle && !alive[owner]) || (!CUSTODY && !alive[owner]))
