package messager

import (
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// originals are the methods of the original messager, of its first release and of the one of July 2021.
const originals = `GetMessageByUid HasMessageByUid GetMessageByCid GetMessageBySignedCid GetMessageByUnsignedCid GetMessageByFromAndNonce WaitMessage
HasWalletAddress PushMessage PushMessageWithId ListMessage ListMessageByAddress ListMessageByFromState ListFailedMessage ListBlockedMessage
UpdateMessageStateByCid UpdateMessageStateByID UpdateAllFilledMessage UpdateFilledMessageByID ReplaceMessage RepublishMessage MarkBadMessage
SaveWallet GetWalletByName GetWalletByID HasWallet ListWallet ListRemoteWalletAddress DeleteWallet UpdateWallet SaveAddress GetAddress HasAddress
ListAddress UpdateNonce DeleteAddress GetSharedParams SetSharedParams RefreshSharedParams SaveNode GetNode HasNode ListNode DeleteNode
GetWalletAddress ForbiddenAddress ActiveAddress SetSelectMsgNum ListWalletAddress SetFeeParams ResetAddress WalletHas SetLogLevel Send
ListenWalletEvent ResponseEvent SupportNewAccount`

// TestOriginalsMethods: each is served, or left out with a reason and a hint, and none both.
func TestOriginalsMethods(t *testing.T) {
	left := map[string]bool{}
	for _, e := range Excluded() {
		require.NotEmpty(t, e.Reason, e.Method)
		require.NotEmpty(t, e.Hint, e.Method)
		require.False(t, left[e.Method], e.Method)
		left[e.Method] = true
	}
	contract := reflect.TypeFor[Messager]()
	for _, name := range strings.Fields(originals) {
		_, served := contract.MethodByName(name)
		require.NotEqual(t, served, left[name], name)
		delete(left, name)
	}
	require.Empty(t, left, "left out, and no method of the original")
}
